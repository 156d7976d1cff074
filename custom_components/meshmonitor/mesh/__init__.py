"""What every radio has in common: the model, links, listeners. No protocol bytes in here."""
