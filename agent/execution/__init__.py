"""How an attempt is run: the executors behind one protocol."""
