"""All that knows MeshCore companion bytes: the upstream radio and the virtual node."""
