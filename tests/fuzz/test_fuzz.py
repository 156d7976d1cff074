"""A bounded run of the fuzzer, and any bytes that hypothesis thinks of; `scripts/fuzz` runs on."""

from hypothesis import given, settings, strategies as st
import pytest

from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS, Target


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which reads none of these bytes."""


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_like_the_recordings(name: str) -> None:
    """Whatever is like the recordings breaks no promise."""
    target, seeds = TARGETS[name]
    kept, _ = fuzz(target, seeds(), rounds=1200, seed=len(name))
    assert kept > len(seeds()) + 1


@pytest.mark.parametrize("target", [target for target, _ in TARGETS.values()], ids=TARGETS)
@given(data=st.binary(max_size=1024))
@settings(max_examples=60, deadline=None)
def test_whatever_bytes(target: Target, data: bytes) -> None:
    """Whatever bytes come, no promise is broken."""
    target(data)
