"""What a release says, and that a tag that fits nothing makes none."""

import json
from pathlib import Path
import subprocess
from typing import Final

import pytest

PROJECT: Final = Path(__file__).resolve().parents[2]
VERSION: Final[str] = json.loads(
    (PROJECT / "custom_components/meshmonitor/manifest.json").read_text()
)["version"]


def notes(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [PROJECT / "scripts/release-notes", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_present_version_can_be_released() -> None:
    """The changelog has a dated section for the manifest's version, and that is printed."""
    done = notes(VERSION)
    assert (done.returncode, done.stderr) == (0, "")
    assert "### " in done.stdout
    assert "\n## " not in done.stdout


@pytest.mark.parametrize("arguments", [[], ["0.0.0"], [f"v{VERSION}"], [f"{VERSION}.1"]])
def test_nothing_else_can(arguments: list[str]) -> None:
    """The workflow ends here."""
    done = notes(*arguments)
    assert done.returncode
    assert done.stderr
    assert not done.stdout
