"""Tests of MeshMonitor. The folders mirror those of the integration."""
