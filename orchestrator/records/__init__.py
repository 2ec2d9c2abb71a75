"""The nouns of the system: frozen records and the pure rules over them. Nothing here does input or output."""
