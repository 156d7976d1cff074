"""Tests of all that knows Meshtastic bytes."""
