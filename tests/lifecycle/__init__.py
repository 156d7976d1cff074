"""Home Assistant starts, stops, reloads and forgets sources while people use them."""
