"""Clients that others have published, against the virtual node."""
