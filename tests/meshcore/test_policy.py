"""Every row of the command table: what a client without rights, and one with all, may do."""

from dataclasses import dataclass

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshcore.codes import Cmd, Resp
from custom_components.meshmonitor.meshcore.commands import COMMANDS, Gate, Slot
from custom_components.meshmonitor.meshcore.frames import Contact
from custom_components.meshmonitor.meshcore.framing import DeviceStreamDecoder, all_to_app
from custom_components.meshmonitor.meshcore.mirror import Mirror
from custom_components.meshmonitor.meshcore.policy import (
    Answer,
    Decision,
    Forward,
    Hold,
    Lease,
    Local,
    LocalKind,
    Need,
    Reason,
    Refuse,
    Replay,
    Rights,
    decide,
)

from ..simulators.meshcore_recorded import recorded_frames
from ..simulators.recording import MESHCORE, read_recording

NONE = Rights()
ALL = Rights(admin=True, destructive=True, contacts=True, signing=True)
KEY = bytes(range(32))
ERR_UNSUPPORTED = b"\x01\x01"


def full_mirror() -> Mirror:
    """Return a mirror that has read everything from the recorded device."""
    mirror = Mirror()
    for entry in read_recording(MESHCORE):
        if entry.sender == "client":
            command = entry.data
        elif entry.sender == "node" and entry.data[0] in (5, 12, 13, 18, 23, 25, 28):
            mirror.learn(command, entry.data)
    mirror.contacts.begin_read()
    mirror.contacts.end_read(1, [Contact(public_key=KEY, adv_type=1, name="K", lastmod=9).build()])
    for index in range(3, 40):
        mirror.learn(bytes((Cmd.GET_CHANNEL, index)), bytes((18, index)) + bytes(48))
    return mirror


MIRROR = full_mirror()


@dataclass(frozen=True)
class Row:
    """A good command, what becomes of it for nobody special, and how long it must be."""

    frame: bytes
    outcome: str
    shortest: int
    """With fewer bytes it is refused."""


# fmt: off
ROWS = [
    Row(b"\x01\x03      app", "answer", 8),
    Row(b"\x02\x00\x00" + bytes(4) + KEY[:6] + b"hi", "forward", 14),
    Row(b"\x03\x00\x00" + bytes(4) + b"hi", "forward", 7),
    Row(b"\x04", "answer", 1),
    Row(b"\x05", "local", 1),
    Row(b"\x06" + bytes(4), "answer", 5),
    Row(b"\x07\x01", "forward", 1),
    Row(b"\x08Other", "admin", 2),
    Row(b"\x09" + KEY[::-1] + bytes(115), "contacts", 136),
    Row(b"\x0a", "local", 1),
    Row(b"\x0b" + bytes(10), "admin", 11),
    Row(b"\x0c\x05", "admin", 2),
    Row(b"\x0d" + KEY, "forward", 33),
    Row(b"\x0e" + bytes(8), "admin", 9),
    Row(b"\x0f" + KEY, "contacts", 33),
    Row(b"\x10" + KEY, "forward", 33),
    Row(b"\x11", "forward", 1),
    Row(b"\x12" + bytes(98), "contacts", 99),
    Row(b"\x13reboot", "admin", 7),
    Row(b"\x14", "answer", 1),
    Row(b"\x15" + bytes(8), "admin", 9),
    Row(b"\x16\x03", "answer", 2),
    Row(b"\x17", "never", 1),
    Row(b"\x18" + bytes(64), "destructive", 65),
    Row(b"\x19\x01A" + b"data", "forward", 7),
    Row(b"\x1a" + KEY + b"pw", "lease", 33),
    Row(b"\x1b" + KEY, "lease", 33),
    Row(b"\x1c" + KEY, "forward", 33),
    Row(b"\x1d" + KEY, "forward", 33),
    Row(b"\x1e" + KEY, "answer", 33),
    Row(b"\x1f\x00", "answer", 2),
    Row(b"\x20\x01" + bytes(48), "admin", 50),
    Row(b"\x21", "sign", 1),
    Row(b"\x22data", "sign", 2),
    Row(b"\x23", "sign", 1),
    Row(b"\x24TAG!AUTH\x00\xaa", "lease", 11),
    Row(b"\x25" + bytes(4), "admin", 5),
    Row(b"\x26\x01", "admin", 2),
    Row(b"\x27\x00\x00\x00" + KEY, "lease", 36),
    Row(b"\x28", "forward", 1),
    Row(b"\x29gps:1", "admin", 4),
    Row(b"\x2a\x00" + KEY, "forward", 34),
    Row(b"\x2b", "forward", 1),
    Row(b"\x32" + KEY + b"\x03", "lease", 34),
    Row(b"\x33reset", "destructive", 6),
    Row(b"\x34\x00" + KEY, "lease", 34),
    Row(b"\x36\x00" + bytes(16), "local", 18),
    Row(b"\x37\x80", "forward", 2),
    Row(b"\x38\x00", "forward", 2),
    Row(b"\x39" + KEY + b"\x01", "lease", 34),
    Row(b"\x3a\x1f", "admin", 2),
    Row(b"\x3b", "answer", 1),
    Row(b"\x3c", "forward", 1),
    Row(b"\x3d\x00\x02", "admin", 3),
    Row(b"\x3e\x00\xff\x01\x00x", "forward", 5),
    Row(b"\x3f" + b"name".ljust(31, b"\0") + bytes(16), "admin", 48),
    Row(b"\x40", "answer", 1),
    Row(b"\x41\x00\x11\x00", "admin", 4),
    Row(b"\x42ver", "admin", 2),
]
# fmt: on


def outcome(decision: Decision) -> str:
    """Return what became of a command, in one word."""
    if isinstance(decision, Refuse):
        return f"refuse {decision.reason.value}"
    return "answer" if isinstance(decision, Replay) else type(decision).__name__.lower()


REFUSALS = {
    "admin": f"refuse {Reason.ADMIN.value}",
    "contacts": f"refuse {Reason.CONTACTS.value}",
    "destructive": f"refuse {Reason.ADMIN.value}",
    "sign": f"refuse {Reason.SIGNING.value}",
    "never": f"refuse {Reason.PRIVATE_KEY.value}",
}
ALLOWED = {
    "admin": "forward",
    "contacts": "forward",
    "destructive": "forward",
    "sign": "lease",
    "never": f"refuse {Reason.PRIVATE_KEY.value}",
}


def test_every_row_has_its_example() -> None:
    """No command is left undecided, none twice."""
    assert [row.frame[0] for row in ROWS] == sorted(COMMANDS)
    assert len(COMMANDS) == 59


@pytest.mark.parametrize("row", ROWS, ids=lambda row: COMMANDS[row.frame[0]].name)
def test_without_rights(row: Row) -> None:
    """What anybody may do, and how the rest is refused."""
    decision = decide(row.frame, MIRROR, NONE)
    assert outcome(decision) == REFUSALS.get(row.outcome, row.outcome)
    if isinstance(decision, Refuse):
        disabled = row.frame[0] in (Cmd.EXPORT_PRIVATE_KEY, Cmd.IMPORT_PRIVATE_KEY)
        assert decision.frame == (b"\x0f" if disabled else ERR_UNSUPPORTED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: COMMANDS[row.frame[0]].name)
def test_with_all_rights(row: Row) -> None:
    """Everything passes but the private key."""
    assert outcome(decide(row.frame, MIRROR, ALL)) == ALLOWED.get(row.outcome, row.outcome)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: COMMANDS[row.frame[0]].name)
def test_too_short_is_never_forwarded(row: Row) -> None:
    """Firmware would read what the command before had in the buffer."""
    for size in range(1, row.shortest):
        decision = decide(row.frame[:size], MIRROR, ALL)
        assert not isinstance(decision, Forward | Lease) or size in _OTHER_FORMS.get(
            row.frame[0], ()
        ), size
    exact = decide(row.frame[: row.shortest], MIRROR, ALL)
    assert not isinstance(exact, Refuse) or exact.reason is Reason.PRIVATE_KEY


_OTHER_FORMS: dict[int, tuple[int, ...]] = {
    Cmd.SEND_TELEMETRY_REQ: (4,),
    Cmd.SET_DEFAULT_FLOOD_SCOPE: (1,),
}
"""Shorter commands that mean something else."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: COMMANDS[row.frame[0]].name)
def test_too_long_is_refused(row: Row) -> None:
    """The decoder cuts an oversize command one byte above the limit."""
    decision = decide(row.frame.ljust(177, b"x"), MIRROR, ALL)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.LENGTH


@pytest.mark.parametrize("code", [0, *range(44, 50), 53, *range(67, 256)])
def test_unknown_commands_are_refused(code: int) -> None:
    """Nobody knows what would answer them."""
    assert decide(bytes([code]) + b"abc", MIRROR, ALL) == Refuse(ERR_UNSUPPORTED, Reason.UNKNOWN)


@pytest.mark.parametrize(
    "frame", [b"\x24TAG!AUTH\x01\xaa", b"\x3e\x00\xff\x00\x00x", b"\x3d\x00\x03"]
)
def test_what_the_device_checks_itself_is_left_to_it(frame: bytes) -> None:
    """Half a hash, no type of data, no such mode: its own error tells more than ours."""
    assert isinstance(decide(frame, MIRROR, ALL), Forward | Lease)


@given(st.binary(min_size=1, max_size=200))
def test_whatever_comes_without_rights_changes_nothing(frame: bytes) -> None:
    """Only what is read or sent passes; no exception, whatever the frame."""
    decision = decide(frame, MIRROR, NONE)
    if isinstance(decision, Forward | Lease):
        gate = decision.command.gate
        assert gate in (Gate.FORWARD, Gate.LEASE, Gate.MIRROR)
        assert decision.command.fits(frame)
        assert len(frame) <= 176


@pytest.mark.parametrize("kind", [1, 3])
def test_command_texts_need_admin(kind: int) -> None:
    """They make a repeater run a command."""
    frame = bytes((2, kind, 0)) + bytes(4) + KEY[:6] + b"reboot"
    assert outcome(decide(frame, MIRROR, NONE)) == f"refuse {Reason.ADMIN.value}"
    assert outcome(decide(frame, MIRROR, ALL)) == "forward"


def test_texts_of_other_types_are_refused() -> None:
    """As the firmware does."""
    for frame in (b"\x02\x02\x00" + bytes(4) + KEY[:6] + b"x", b"\x03\x01\x00" + bytes(4) + b"x"):
        assert decide(frame, MIRROR, ALL) == Refuse(ERR_UNSUPPORTED, Reason.TEXT_TYPE)


def test_contacts_have_a_switch_of_their_own() -> None:
    """A household may share its contacts without sharing administration."""
    rights = Rights(contacts=True)
    assert outcome(decide(b"\x0f" + KEY, MIRROR, rights)) == "forward"
    assert outcome(decide(b"\x08Other", MIRROR, rights)) == f"refuse {Reason.ADMIN.value}"


def test_destructive_needs_both() -> None:
    """Neither alone is enough."""
    reset = b"\x33reset"
    assert decide(reset, MIRROR, Rights(admin=True)) == Refuse(ERR_UNSUPPORTED, Reason.DESTRUCTIVE)
    assert decide(reset, MIRROR, Rights(destructive=True)) == Refuse(ERR_UNSUPPORTED, Reason.ADMIN)


RADIO = (915_000).to_bytes(4, "little") + (250_000).to_bytes(4, "little") + b"\x0a\x05"
PLACE = (52_090_701).to_bytes(4, "little") + (5_121_400).to_bytes(4, "little")
SECRET = bytes.fromhex("8b3387e9c5cdea6ac9e5edbaa115cd72")
# fmt: off
PRESENT = {
    "name": b"\x08Alpha",
    "radio": b"\x0b" + RADIO,
    "radio with repeat": b"\x0b" + RADIO + b"\x00",
    "power": b"\x0c\x14",
    "power in four bytes": b"\x0c\x14\x00\x00\x00",
    "position": b"\x0e" + PLACE,
    "other parameters": b"\x26\x00\x02\x00\x00",
    "channel": b"\x20\x00" + b"Public".ljust(32, b"\0") + SECRET,
    "empty channel": b"\x20\x05" + bytes(48),
    "tuning": b"\x15\x00\x00\x00\x00\xe8\x03\x00\x00",
    "auto-add": b"\x3a\x00",
    "auto-add with hops": b"\x3a\x00\x00",
    "path hash mode": b"\x3d\x00\x00",
    "default scope": b"\x3f",
    "contact": b"\x09" + Contact(public_key=KEY, adv_type=1, name="K", lastmod=9).build()[1:],
    "contact without place": b"\x09" + Contact(public_key=KEY, adv_type=1, name="K").build()[1:136],
}
# fmt: on


@pytest.mark.parametrize("frame", PRESENT.values(), ids=PRESENT)
def test_what_changes_nothing_is_answered(frame: bytes) -> None:
    """Whoever may or may not: several apps send their settings at every start."""
    frame = _with_recorded_params(frame)
    assert decide(frame, MIRROR, NONE) == Answer((b"\x00",))
    assert decide(frame, MIRROR, ALL) == Answer((b"\x00",))


def _with_recorded_params(frame: bytes) -> bytes:
    if frame[0] != Cmd.SET_OTHER_PARAMS:
        return frame
    info = MIRROR.info
    assert info is not None
    params = (info.manual_add, info.telemetry_modes, info.advert_location, info.multi_acks)
    return bytes((Cmd.SET_OTHER_PARAMS, *params))


def test_the_pin_cannot_be_guessed() -> None:
    """The right one and a wrong one are refused alike."""
    for pin in (0, 123456):
        frame = b"\x25" + pin.to_bytes(4, "little")
        assert decide(frame, MIRROR, NONE) == Refuse(ERR_UNSUPPORTED, Reason.ADMIN)


def test_leases_know_what_answers_them() -> None:
    """Six key bytes, the tag in the command, or the tag that SENT will carry."""
    expected = {
        b"\x1a" + KEY: (Slot.LOGIN, KEY[:6]),
        b"\x1b" + KEY: (Slot.STATUS, KEY[:6]),
        b"\x27\x00\x00\x00" + KEY: (Slot.TELEMETRY, KEY[:6]),
        b"\x34\x00" + KEY: (Slot.DISCOVERY, KEY[:6]),
        b"\x32" + KEY + b"\x01": (Slot.BINARY, b""),
        b"\x39" + KEY + b"\x01": (Slot.BINARY, b""),
        b"\x24TAG!AUTH\x00\xaa": (Slot.TRACE, b"TAG!"),
    }
    for frame, (slot, key) in expected.items():
        decision = decide(frame, MIRROR, NONE)
        assert isinstance(decision, Lease)
        assert (decision.slot, decision.key) == (slot, key)
    assert isinstance(decide(b"\x27\x00\x00\x00", MIRROR, NONE), Forward)


def test_reads_wait_for_what_is_not_known_yet() -> None:
    """Never an empty or partial answer."""
    mirror = Mirror()
    assert decide(b"\x01" + bytes(9), mirror, NONE) == Hold(Need.SELF)
    assert decide(b"\x16\x03", mirror, NONE) == Hold(Need.DEVICE)
    assert decide(b"\x04", mirror, NONE) == Hold(Need.CONTACTS)
    assert decide(b"\x1e" + KEY, mirror, NONE) == Hold(Need.CONTACTS)
    assert decide(b"\x1f\x00", mirror, NONE) == Hold(Need.DEVICE)
    assert MIRROR.device_info is not None
    mirror.learn(b"\x16\x03", MIRROR.device_info)
    assert decide(b"\x1f\x00", mirror, NONE) == Hold(Need.CHANNELS)
    assert decide(b"\x1f\x28", mirror, NONE) == Answer((b"\x01\x02",))
    assert isinstance(decide(b"\x14", mirror, NONE), Forward)


def test_contacts_are_served_since() -> None:
    """The count is the total; the end names the newest that was sent."""
    nothing = all_to_app((b"\x02\x01\x00\x00\x00", b"\x04\x00\x00\x00\x00"))
    assert decide(b"\x04" + (9).to_bytes(4, "little"), MIRROR, NONE) == Replay(nothing)
    for command in (b"\x04" + (8).to_bytes(4, "little"), b"\x04" + bytes(4), b"\x04"):
        answer = decide(command, MIRROR, NONE)
        assert isinstance(answer, Replay)
        frames = DeviceStreamDecoder().feed(answer.data)
        assert [frame[0] for frame in frames] == [2, 3, 4]
        assert frames[2] == b"\x04\x09\x00\x00\x00"


def test_an_unknown_contact_is_not_found_here() -> None:
    """Unless it is about to be read."""
    assert decide(b"\x1e" + bytes(32), MIRROR, NONE) == Answer((b"\x01\x02",))
    mirror = full_mirror()
    mirror.heard(b"\x80" + bytes(32))
    assert isinstance(decide(b"\x1e" + bytes(32), mirror, NONE), Forward)


def test_device_info_hides_the_pin_and_caps_the_version() -> None:
    """The PIN opens the radio over Bluetooth; a version promises what we cannot keep."""
    mirror, info = Mirror(), MIRROR.device_info
    assert info is not None
    mirror.learn(b"\x16\x03", b"\x0d\x0f" + info[2:4] + b"\x40\xe2\x01\x00" + info[8:] + b"tail")
    decision = decide(b"\x16\x03", mirror, NONE)
    assert decision == Answer((b"\x0d\x0d" + info[2:4] + bytes(4) + info[8:82],))
    assert mirror.device is not None
    assert mirror.device.protocol_version == 15


def test_scopes_that_the_device_does_not_know() -> None:
    """Version 8 brought them, version 12 the unscoped one."""
    assert decide(b"\x36\x01", MIRROR, NONE) == Local(LocalKind.SCOPE)
    mirror, info = Mirror(), MIRROR.device_info
    assert info is not None
    mirror.learn(b"\x16\x03", info[:1] + b"\x0b" + info[2:])
    assert outcome(decide(b"\x36\x01", mirror, NONE)) == f"refuse {Reason.NOT_SUPPORTED.value}"
    assert decide(b"\x36\x00", mirror, NONE) == Local(LocalKind.SCOPE)


def test_kept_answers_are_the_device_s_own_bytes() -> None:
    """What the mirror serves is what the device said."""
    recorded = {frame[0]: frame for frame in recorded_frames("node")}
    for command, code in ((b"\x3b", Resp.AUTOADD_CONFIG), (b"\x40", Resp.DEFAULT_FLOOD_SCOPE)):
        assert decide(command, MIRROR, NONE) == Answer((recorded[code],))
