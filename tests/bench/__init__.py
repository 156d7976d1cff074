"""Tests of what the speed claims are measured with."""
