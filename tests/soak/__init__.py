"""Hours of a virtual node's life in minutes, and exact accounts at the end."""
