"""What the system does, one verb a file: functions of a transaction and the principal that acts."""
