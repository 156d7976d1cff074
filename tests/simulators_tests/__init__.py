"""Tests of the simulators, so that tests which lean on them stand on firm ground."""
