"""Tests of what every radio has in common."""
