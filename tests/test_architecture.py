"""Who may know what: the walls between the rooms of the integration.

`mesh/` stands alone; `meshtastic/` and `meshcore/` know `mesh/` and themselves; none of the three
knows Home Assistant. Entities and platforms see neither protobuf nor frame. Protocol rules do no
I/O. Every file can be read in one sitting.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).resolve().parent.parent
INTEGRATION: Final = PROJECT / "custom_components" / "meshmonitor"
PACKAGE: Final = "custom_components.meshmonitor"

# Which rooms may import which, beside themselves.
ROOMS: Final[dict[str, frozenset[str]]] = {
    "mesh": frozenset(),
    "meshtastic": frozenset({"mesh"}),
    "meshcore": frozenset({"mesh"}),
}
PROTOCOLS: Final = frozenset({"meshtastic", "meshcore"})
# The only place outside the rooms where a radio protocol is chosen by name, and what of a
# protocol's room it may name.
WIRING: Final = "protocols.py"
FACE: Final = frozenset({"options", "probe", "source"})
# Protocol rules: bytes or frames in, decisions out, the clock handed in.
SANS_IO: Final = frozenset(
    {"decode.py", "framing.py", "frames.py", "mirror.py", "pacing.py", "policy.py", "wire.py"}
)
INPUT_OUTPUT: Final = frozenset({"asyncio", "selectors", "serialx", "socket", "threading", "time"})
# Serial ports are opened with serialx; frames of both radios are made and read here, not by the
# libraries of their projects. Of meshtastic the protobuf classes are used, in its own room alone.
UNWANTED: Final = frozenset({"meshcore", "serial", "serial_asyncio", "serial_asyncio_fast"})
LONGEST_FILE: Final = 450


def imported_modules(file: Path, package: str) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of all that a file imports, wherever in it the import stands.

    `from a import b` yields both `a` and `a.b`: b may be a module. Type-checking imports count:
    who has to name a type knows it.
    """
    for statement in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield statement.lineno, alias.name
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            if statement.level:
                parents = package.split(".")
                parents = parents[: len(parents) - statement.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield statement.lineno, base
            for alias in statement.names:
                yield statement.lineno, f"{base}.{alias.name}"


def is_within(module: str, *packages: str) -> bool:
    """Return whether a module is one of these packages, or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def objection(module: str, place: Path) -> str | None:
    """Return why a file, given by its path inside the integration, may not import a module."""
    room = place.parts[0] if len(place.parts) > 1 else None
    if is_within(module, PACKAGE):
        return _objection_to_own(module.removeprefix(PACKAGE).strip("."), place, room)
    if is_within(module, *UNWANTED):
        return "is not used in this project"
    if is_within(module, "meshtastic", "google.protobuf"):
        if room != "meshtastic":
            return "protobuf classes are known in meshtastic/ alone"
        if module != "meshtastic" and not is_within(
            module, "meshtastic.protobuf", "google.protobuf"
        ):
            return "of the meshtastic package only the protobuf classes are used"
    if room in ROOMS and is_within(module, "homeassistant"):
        return f"{room}/ does not know Home Assistant"
    if room in ROOMS and place.name in SANS_IO and is_within(module, *INPUT_OUTPUT):
        return "protocol rules do no I/O and are handed the clock"
    return None


def _objection_to_own(inside: str, place: Path, room: str | None) -> str | None:
    """Return why a file may not import a module of the integration (its name without PACKAGE)."""
    target = inside.split(".", maxsplit=1)[0] if inside else ""
    if room in ROOMS:
        # The integration's own package by name alone is what `from .. import mesh` also yields.
        if target and target != room and target not in ROOMS[room]:
            return f"{room}/ may import {', '.join(sorted({room, *ROOMS[room]}))} only"
        return None
    if target in PROTOCOLS:
        if place.name != WIRING:
            return f"no file but {WIRING} knows a protocol"
        if inside != target and inside.split(".")[1] not in FACE:
            return f"of {target}/ only {', '.join(sorted(FACE))} are known outside"
    return None


def breaches(integration: Path) -> list[str]:
    """Return every import inside an integration's folder that crosses a wall."""
    found = []
    for file in sorted(integration.rglob("*.py")):
        place = file.relative_to(integration)
        package = ".".join([PACKAGE, *place.parts[:-1]])
        for line, module in imported_modules(file, package):
            if reason := objection(module, place):
                found.append(f"{place}:{line}: {module}: {reason}")
    return found


def long_files(project: Path) -> list[str]:
    """Return the Python files of a project that are longer than anyone reads in one sitting."""
    found = []
    for folder in ("custom_components", "tests", "scripts", "bench"):
        for file in sorted((project / folder).rglob("*.py")):
            if "node_modules" in file.parts:
                continue
            if (lines := len(file.read_text().splitlines())) > LONGEST_FILE:
                found.append(f"{file.relative_to(project)}: {lines} lines")
    return found


def test_no_import_crosses_a_wall() -> None:
    """The integration keeps to its own plan."""
    assert len(list(INTEGRATION.rglob("*.py"))) > 10, "the integration has not been found"
    assert breaches(INTEGRATION) == []


def test_every_file_can_be_read_in_one_sitting() -> None:
    """No file is longer than the limit."""
    assert long_files(PROJECT) == []


@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("mesh/link.py", "from homeassistant.core import HomeAssistant"),
        ("mesh/link.py", "import homeassistant"),
        ("mesh/link.py", "from ..const import DOMAIN"),
        ("mesh/link.py", "from .. import coordinator"),
        ("mesh/link.py", "from ..meshtastic.framing import encode"),
        ("mesh/link.py", "from .. import meshcore"),
        ("mesh/link.py", "from custom_components.meshmonitor.meshcore import frames"),
        ("mesh/link.py", "from meshtastic.protobuf import mesh_pb2"),
        ("mesh/transport.py", "import serial_asyncio_fast"),
        ("meshtastic/session.py", "from ..meshcore.frames import Frame"),
        ("meshtastic/session.py", "from .. import entity"),
        ("meshtastic/session.py", "def later():\n    from homeassistant.util import dt"),
        ("meshtastic/session.py", "from meshtastic.tcp_interface import TCPInterface"),
        ("meshtastic/session.py", "from meshtastic import tcp_interface"),
        ("meshtastic/policy.py", "import time"),
        ("meshtastic/wire.py", "from asyncio import Queue"),
        ("meshcore/source.py", "from ..meshtastic import framing"),
        ("meshcore/source.py", "import meshcore"),
        ("meshcore/source.py", "from google.protobuf.message import Message"),
        ("sensor.py", "from meshtastic.protobuf import telemetry_pb2"),
        ("sensor.py", "from google.protobuf.message import Message"),
        ("sensor.py", "from .meshtastic.source import MeshtasticSource"),
        ("sensor.py", "from .meshcore import frames"),
        ("sensor.py", "if TYPE_CHECKING:\n    from .meshcore.frames import Frame"),
        ("coordinator.py", "from .meshtastic.source import MeshtasticSource"),
        ("protocols.py", "from .meshtastic.mirror import Mirror"),
        ("protocols.py", "from .meshcore import frames"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, place: str, statement: str) -> None:
    """Every kind of forbidden import is noticed, wherever in the file it stands."""
    _write(tmp_path / place, statement)
    found = breaches(tmp_path)
    assert found
    assert all(breach.startswith(f"{place}:") for breach in found)


@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("mesh/link.py", "import asyncio\nimport serialx"),
        ("mesh/link.py", "from .transport import open_stream\nfrom . import model"),
        ("meshtastic/policy.py", "from datetime import datetime"),
        ("meshtastic/source.py", "from .. import mesh"),
        ("meshtastic/source.py", "from ..mesh.link import Link\nfrom . import framing"),
        ("meshtastic/decode.py", "from meshtastic.protobuf import mesh_pb2"),
        ("meshcore/source.py", "from custom_components.meshmonitor.mesh.model import Node"),
        ("sensor.py", "from homeassistant.core import HomeAssistant"),
        ("sensor.py", "from .mesh.model import Node\nfrom .entity import NodeEntity"),
        ("protocols.py", "from .meshtastic.source import MeshtasticSource"),
        ("protocols.py", "from .meshcore import options, source"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, place: str, statement: str) -> None:
    """The walls have doors where the plan has them."""
    _write(tmp_path / place, statement)
    assert breaches(tmp_path) == []


def test_a_long_file_is_found(tmp_path: Path) -> None:
    """One line over the limit is one too many."""
    _write(tmp_path / "tests/short.py", "\n" * LONGEST_FILE)
    _write(tmp_path / "tests/long.py", "\n" * (LONGEST_FILE + 1))
    assert long_files(tmp_path) == [f"tests/long.py: {LONGEST_FILE + 1} lines"]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
