"""MeshCore: the rooms one by one, then a radio shared by real clients."""
