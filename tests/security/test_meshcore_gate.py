"""Every command code that there can be, in many shapes: a MeshCore radio gets what is allowed."""

import pytest

from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshcore.commands import COMMANDS, Gate
from custom_components.meshmonitor.meshcore.framing import to_device
from tests.meshcore.e2e.conftest import OpenStage, radio, short_times as meshcore_times  # noqa: F401
from tests.meshcore.e2e.stage import Stage
from tests.simulators.meshcore_companion import SimulatedCompanion

pytestmark = pytest.mark.usefixtures("socket_enabled", "meshcore_times")

ALLOWED = {Gate.MIRROR, Gate.FORWARD, Gate.LEASE, Gate.LOCAL}
BODIES = (
    b"",
    b"\x00",
    b"\x01",
    b"\x00" * 2,
    b"reset",
    b"reboot",
    b"\xff" * 4,
    bytes(33),
    bytes(40),
)
WRAPPERS = (
    to_device,
    lambda command: b"junk" + to_device(command),
    # A command inside one that is too long, and one inside the text of another.
    lambda command: b"<\x00\x02" + (to_device(command) * 200)[:512],
    lambda command: to_device(b"\x03\x00\x00" + bytes(4) + to_device(command)),
)


@pytest.mark.parametrize("wrap", WRAPPERS, ids=["plain", "behind junk", "too long", "in a text"])
async def test_no_command_without_the_right_to_it(
    radio: SimulatedCompanion,  # noqa: F811
    wrap: object,
) -> None:
    """Neither unknown commands nor those of administrators reach the radio, however they come."""
    stage = Stage(TcpEndpoint(radio.host, radio.port), share_contacts=False)
    await stage.start()
    try:
        app = await stage.app()
        own = {frame[0] for frame in radio.received}
        assert callable(wrap)
        for code in range(256):
            for body in BODIES:
                app.write(wrap(bytes([code]) + body))
            # Commands are carried out in their order: when this is answered, all others are.
            answered = app.count(12)
            app.send(b"\x14")
            await app.until(lambda answered=answered: app.count(12) > answered)  # type: ignore[misc]
        key = radio.device.settings.private_key
        for frame in radio.received:
            row = COMMANDS.get(frame[0])
            assert row is not None
            assert row.gate in ALLOWED or frame[0] in own, row
        seen = b"".join(app.frames)
        assert not any(key[at : at + 8] in seen for at in range(0, 56, 8))
        assert not radio.commands(23)
        assert not radio.commands(24)
    finally:
        await stage.stop()
