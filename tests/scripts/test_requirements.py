"""The locked versions: they are those that were asked for, and fit Home Assistant."""

from pathlib import Path
import re
from typing import Final

import pytest

PROJECT: Final = Path(__file__).resolve().parents[2]
LOCKS: Final = sorted(PROJECT.glob("requirements_test*.txt"))
PACKAGE: Final = re.compile(r"[A-Za-z0-9._-]+")


def packages(file: Path) -> dict[str, str]:
    """Return package → version of a requirements file, '' where it asks for none."""
    found = {}
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            found[re.sub(r"[._-]+", "-", name).lower()] = version
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_what_is_asked_for_is_locked(lock: Path) -> None:
    """scripts/lock has been run since requirements_test.in was changed."""
    locked = packages(lock)
    for package, version in packages(PROJECT / "requirements_test.in").items():
        assert locked[package] == version or not version
    assert all(locked.values()), "a lock names a version for every package"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_the_locks_name_no_machine(lock: Path) -> None:
    """Where packages come from is the machine's own business."""
    text = lock.read_text() + (PROJECT / "tests/js/package-lock.json").read_text()
    assert "--index-url" not in text
    assert "--find-links" not in text
    assert '"resolved"' not in text
    assert "file:" not in text
