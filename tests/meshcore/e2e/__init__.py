"""A radio shared by several apps, over real sockets."""
