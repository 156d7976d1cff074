"""Clients of the virtual nodes, as tests need them."""
