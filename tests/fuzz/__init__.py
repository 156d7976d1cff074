"""Any bytes at all, at every place where bytes of strangers are read."""
