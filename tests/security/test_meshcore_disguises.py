"""Every MeshCore command in every disguise, and every way that a secret could take out of a radio.

The commands are the table's own examples: each of them would be carried out, if it got through.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

import pytest

from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshcore.commands import COMMANDS, Gate
from custom_components.meshmonitor.meshcore.framing import to_device
from tests.meshcore.e2e.app import App
from tests.meshcore.e2e.conftest import OpenStage, open_stage, radio, short_times as meshcore_times  # noqa: F401
from tests.meshcore.e2e.stage import Stage
from tests.meshcore.test_policy import KEY, ROWS
from tests.simulators.meshcore_companion import SimulatedCompanion

pytestmark = pytest.mark.usefixtures("socket_enabled", "meshcore_times")

CLI_TEXTS: Final = tuple(
    b"\x02" + bytes([kind, 0]) + bytes(4) + KEY[:6] + b"set name Mine" for kind in (1, 2, 3, 255)
)
COMMANDS_WITHOUT_RIGHT: Final = (
    *(row.frame for row in ROWS if row.outcome in {"admin", "contacts", "destructive", "sign"}),
    b"\x17",
    *CLI_TEXTS,
    b"\x03\x01\x00" + bytes(4) + b"set name Mine",
    b"\x42xx|get wifi.pwd",
    # What is kept of the channels and scopes in longer and shorter forms.
    b"\x20\x00" + b"Stolen".ljust(32, b"\0") + b"K" * 16,
    b"\x20\x00" + b"Stolen".ljust(32, b"\0") + b"K" * 32,
    b"\x3f",
    b"\x26\x01\x3f\x01\x01",
)
OPEN: Final = frozenset({Gate.MIRROR, Gate.FORWARD, Gate.LEASE, Gate.LOCAL})

type Disguise = Callable[[bytes], bytes]

DISGUISES: Final[dict[str, Disguise]] = {
    "as it is": to_device,
    "longer": lambda command: to_device(command + bytes(8)),
    "with text behind it": lambda command: to_device(command + b"\0 and more"),
    "behind junk": lambda command: b"\x00\xff>junk" + to_device(command),
    "behind a device's marker": lambda command: b">" + to_device(command)[1:] + to_device(command),
    "twice": lambda command: to_device(command) * 2,
    "between two others": lambda command: (
        to_device(b"\x05") + to_device(command) + to_device(b"\x05")
    ),
    "behind empty ones": lambda command: b"<\x00\x00" * 3 + to_device(command),
    "behind half a one": lambda command: b"<\x06\x00\x05" + to_device(command),
    "behind one that is too long": lambda command: b"<\x2c\x01" + bytes(300) + to_device(command),
    "inside one that is too long": lambda command: b"<\x2c\x01" + to_device(command).ljust(300),
    "inside a text": lambda command: to_device(
        (b"\x03\x00\x00" + bytes(4) + to_device(command))[:160]
    ),
    "inside a raw packet": lambda command: to_device((b"\x41\x00" + to_device(command))[:176]),
    "inside a signature": lambda command: to_device((b"\x22" + to_device(command))[:176]),
    "in capitals of the code": lambda command: to_device(bytes([command[0] | 0x80]) + command[1:]),
}


async def _all_judged(app: App) -> None:
    """Wait until all that was sent has been judged; commands are carried out in their order."""
    answered = app.count(12)
    # A half one before it would swallow it.
    app.write(bytes(600))
    app.send(b"\x14")
    await app.until(lambda: app.count(12) > answered)


def _check(radio: SimulatedCompanion, own: int) -> None:  # noqa: F811
    """See that the radio got nothing that somebody without rights may not send."""
    for frame in radio.received[own:]:
        row = COMMANDS.get(frame[0])
        assert row is not None, frame
        assert row.gate in OPEN, row
        assert row.fits(frame), frame
        assert frame[0] not in {2, 3} or frame[1] == 0, "a command in a text"


def _state(radio: SimulatedCompanion) -> Any:  # noqa: F811
    device = radio.device
    return deepcopy((device.settings, device.contacts, device.channels))


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
async def test_no_disguise_gets_a_command_to_the_radio(
    radio: SimulatedCompanion,  # noqa: F811
    disguise: Disguise,
) -> None:
    """What reaches the radio is what the table leaves open, and it is as it was afterwards."""
    stage = Stage(TcpEndpoint(radio.host, radio.port), share_contacts=False)
    await stage.start()
    try:
        app = await stage.app()
        state, own = _state(radio), len(radio.received)
        for command in COMMANDS_WITHOUT_RIGHT:
            app.write(disguise(command))
            await _all_judged(app)
        _check(radio, own)
        assert _state(radio) == state
        assert not radio.commands(23)
    finally:
        await stage.stop()


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_fragments_change_nothing(
    radio: SimulatedCompanion,  # noqa: F811
    size: int,
) -> None:
    """Commands in pieces are judged as whole ones."""
    stage = Stage(TcpEndpoint(radio.host, radio.port), share_contacts=False)
    await stage.start()
    try:
        app = await stage.app()
        state, own = _state(radio), len(radio.received)
        stream = b"".join(to_device(command) for command in COMMANDS_WITHOUT_RIGHT)
        for start in range(0, len(stream), size):
            app.write(stream[start : start + size])
            await app.writer.drain()
        await _all_judged(app)
        _check(radio, own)
        assert _state(radio) == state
    finally:
        await stage.stop()


async def test_an_administrator_does_not_destroy(
    radio: SimulatedCompanion,  # noqa: F811
    open_stage: OpenStage,  # noqa: F811
) -> None:
    """Reset and import of a key need the second option; no option exports the key."""
    stage = await open_stage(radio, allow_admin_commands=True)
    app = await stage.app()
    key = radio.device.settings.private_key
    for disguise in DISGUISES.values():
        for command in (b"\x33reset", b"\x18" + bytes(64), b"\x17", b"\x21", b"\x22data", b"\x23"):
            app.write(disguise(command))
            await _all_judged(app)
    assert not {23, 24, 33, 34, 35, 51} & {frame[0] for frame in radio.received}
    assert radio.device.settings.private_key == key


async def test_rights_are_those_of_the_moment(
    radio: SimulatedCompanion,  # noqa: F811
    open_stage: OpenStage,  # noqa: F811
) -> None:
    """A right that is withdrawn is gone with the very next command, for those who are there."""
    stage = await open_stage(radio, allow_admin_commands=True)
    app = await stage.app()
    assert await app.ask(b"\x08Allowed") == b"\x00"
    await stage.source.apply_virtual_node(stage.options(allow_admin_commands=False))
    assert await app.ask(b"\x08Not allowed") == b"\x01\x01"
    assert radio.device.settings.name == "Allowed"


@pytest.mark.parametrize("networks", [["10.0.0.0/8"], ["127.0.0.9"]])
async def test_this_host_has_no_privilege(
    radio: SimulatedCompanion,  # noqa: F811
    open_stage: OpenStage,  # noqa: F811
    networks: list[str],
) -> None:
    """An administrator is who is in an administrator's network: this very host as any other."""
    stage = await open_stage(radio, allow_admin_commands=True, admin_networks=networks)
    app = await stage.app()
    assert await app.ask(b"\x08Not allowed") == b"\x01\x01"
    assert radio.device.settings.name == "Hilltop"


async def test_no_secret_leaves_by_any_path(
    radio: SimulatedCompanion,  # noqa: F811
    open_stage: OpenStage,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not by answers, logs, storage, events or figures, whatever is allowed."""
    caplog.set_level("DEBUG")
    stage = await open_stage(
        radio,
        allow_admin_commands=True,
        allow_destructive_commands=True,
        allow_signing=True,
        share_contacts=True,
    )
    app = await stage.app()
    settings = radio.device.settings
    key, pin = settings.private_key, settings.pin
    channel = b"\x20\x03" + b"Secret".ljust(32, b"\0") + b"0123456789abcdef"
    login = b"\x1a" + radio.mesh.peer("Ridge").key + b"pass-word"
    for disguise in DISGUISES.values():
        app.write(disguise(b"\x17"))
        await _all_judged(app)
    # Whatever only reads, in every form that there is of it.
    for row in ROWS:
        if row.outcome in {"answer", "forward"}:
            for tail in (b"", b"\0", b"\1", b"\2"):
                app.send(row.frame + tail)
                await _all_judged(app)
    app.send(channel)
    await _all_judged(app)
    assert radio.commands(0x20) == [channel]
    app.send(login, b"\x42get wifi.pwd")
    await app.until(lambda: app.count(0x85) or app.count(0x86))
    await _all_judged(app)
    seen = b"".join(app.frames)
    assert not any(key[at : at + 6] in seen for at in range(58))
    for frame in app.frames:
        assert frame[0] != 13 or frame[4:8] == bytes(4), "the PIN for Bluetooth"
    stored = repr(stage.source.snapshot())
    assert key.hex() not in stored
    assert pin.to_bytes(4, "little").hex() not in stored
    told = repr(stage.events) + repr(stage.source.counters) + repr(stage.source.virtual_node.status)
    for secret in (key.hex(), str(pin), "0123456789abcdef", "pass-word", "get wifi.pwd"):
        assert secret not in told
        assert secret not in caplog.text
        assert secret.encode().hex() not in caplog.text
