"""What Home Assistant's and the catalogue's own validators ask of the files beside the code.

Those validators run in the project's workflows, from containers; these tests hold the same rules
where there is only Python.
"""

import json
from pathlib import Path
import re
from typing import Any, Final

from awesomeversion import AwesomeVersion
from homeassistant.const import REQUIRED_PYTHON_VER
import pytest

PROJECT: Final = Path(__file__).resolve().parent.parent
INTEGRATION: Final = PROJECT / "custom_components" / "meshmonitor"
ENGLISH: Final = INTEGRATION / "translations" / "en.json"

# hassfest's schema of a custom integration's manifest, as far as an integration with a config flow
# can use it.
ALLOWED_KEYS: Final = frozenset(
    {
        *("after_dependencies", "bluetooth", "categories", "codeowners", "config_flow"),
        *("connectivity", "dependencies", "dhcp", "documentation", "domain", "integration_type"),
        *("iot_class", "issue_tracker", "loggers", "name", "requirements", "ssdp", "usb"),
        *("version", "zeroconf"),
    }
)
REQUIRED_KEYS: Final = frozenset(
    {
        *("codeowners", "config_flow", "documentation", "domain", "integration_type", "iot_class"),
        *("issue_tracker", "name", "version"),
    }
)
# The catalogue's schema of hacs.json.
HACS_KEYS: Final = frozenset(
    {
        *("content_in_root", "country", "filename", "hide_default_branch", "homeassistant"),
        *("name", "persistent_directory", "zip_release"),
    }
)


def read(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; a key that stands there twice is an error."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), f"{file.name} has a key twice: {keys}"
        return dict(pairs)

    content: dict[str, Any] = json.loads(file.read_text(), object_pairs_hook=unique)
    return content


@pytest.fixture(name="manifest")
def manifest_fixture() -> dict[str, Any]:
    """Return the integration's manifest."""
    return read(INTEGRATION / "manifest.json")


def test_manifest_keys(manifest: dict[str, Any]) -> None:
    """Domain and name come first, the rest by the alphabet; no unknown key, none missing."""
    keys = list(manifest)
    assert keys[:2] == ["domain", "name"]
    assert keys[2:] == sorted(keys[2:])
    assert set(keys) <= ALLOWED_KEYS
    assert set(keys) >= REQUIRED_KEYS


def test_manifest_values(manifest: dict[str, Any]) -> None:
    """The values have the forms that the validators ask for."""
    assert manifest["domain"] == INTEGRATION.name
    assert manifest["integration_type"] == "hub"
    assert manifest["iot_class"] == "local_push"
    assert manifest["documentation"].startswith("https://")
    assert manifest["issue_tracker"].startswith("https://")
    assert AwesomeVersion(manifest["version"]).valid
    assert manifest["codeowners"]
    assert all(re.fullmatch(r"@[\w-]+", owner) for owner in manifest["codeowners"])
    assert not set(manifest["dependencies"]) & set(manifest["after_dependencies"])


def test_requirements_leave_room(manifest: dict[str, Any]) -> None:
    """No exact version: Home Assistant installs under constraints that change each month."""
    assert manifest["requirements"]
    assert all("==" not in requirement for requirement in manifest["requirements"])
    # Packages whose version Home Assistant sets are not asked for at all.
    names = {re.split(r"[<>=~!]", requirement)[0] for requirement in manifest["requirements"]}
    assert not names & {"protobuf", "serialx", "voluptuous", "probatio"}


def test_hacs_json(manifest: dict[str, Any]) -> None:
    """The catalogue refuses unknown keys; the version that it asks for is the tested one."""
    hacs = read(PROJECT / "hacs.json")
    assert set(hacs) <= HACS_KEYS
    assert hacs["name"] == manifest["name"]
    assert AwesomeVersion(hacs["homeassistant"]) >= "2026.10.0"
    folders = {
        folder.name
        for folder in (PROJECT / "custom_components").iterdir()
        if folder.is_dir() and folder.name != "__pycache__"
    }
    assert folders == {manifest["domain"]}


def test_python_version() -> None:
    """The Python that the style rules are set to is the one that Home Assistant runs on."""
    ruff = (PROJECT / "ruff.toml").read_text()
    target = "py" + "".join(str(part) for part in REQUIRED_PYTHON_VER[:2])
    assert f'target-version = "{target}"' in ruff


@pytest.mark.skipif(not ENGLISH.exists(), reason="no texts yet")
def test_texts_stand_for_themselves() -> None:
    """References to shared texts, HTML and addresses are for core integrations alone."""
    texts = ENGLISH.read_text()
    assert read(ENGLISH)
    assert "[%key" not in texts
    assert not re.search(r"https?://", texts)
    assert not re.search(r"<[a-z/][^>]*>", texts)
    assert not (INTEGRATION / "strings.json").exists()
