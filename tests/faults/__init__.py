"""What a radio and the way to it can do wrong: one table of faults, tried on both protocols."""
