"""What happens to a command of a client: one pure decision, from the frame and what is known.

A client is answered from the mirror where that is possible, refused where it may not, and a "set"
that would change nothing is answered ``OK`` without touching the device: several apps send their
settings at every start. What remains is forwarded, bytes as they came.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from .codes import DISABLED_FRAME, OK_FRAME, Cmd, Err, Resp, TxtType, err_frame
from .commands import COMMANDS, Command, Gate, Kind, Slot, is_self_telemetry
from .frames import contact_fields_end
from .framing import MAX_FRAME_SIZE
from .mirror import Mirror


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a client may do."""

    admin: bool = False
    """Change the device's configuration."""
    destructive: bool = False
    """With `admin`: what cannot be undone, factory reset and key import."""
    contacts: bool = False
    """Add, change and remove contacts, also without `admin`."""
    signing: bool = False
    """Have the device sign data with its identity."""


class Reason(StrEnum):
    """Why a command was refused."""

    UNKNOWN = "unknown_command"
    LENGTH = "bad_length"
    ADMIN = "admin_not_allowed"
    DESTRUCTIVE = "destructive_not_allowed"
    CONTACTS = "contacts_not_allowed"
    SIGNING = "signing_not_allowed"
    PRIVATE_KEY = "private_key_never_exported"
    TEXT_TYPE = "unsupported_text_type"
    NOT_FOUND = "not_found"
    NOT_SUPPORTED = "not_supported_by_device"


class LocalKind(Enum):
    """What the client's session does itself."""

    SYNC = "sync"
    """Hand out the next message of the client's own inbox."""
    GET_TIME = "get_time"
    SCOPE = "scope"
    """Remember the flood scope for what this client sends."""


class Need(Enum):
    """What must be known before a command can be answered."""

    SELF = "self"
    DEVICE = "device"
    CONTACTS = "contacts"
    CHANNELS = "channels"


@dataclass(frozen=True, slots=True)
class Answer:
    """These frames are the response."""

    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """These bytes, envelopes included, are the response."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """This frame is the response, and the refusal is counted."""

    frame: bytes
    reason: Reason


@dataclass(frozen=True, slots=True)
class Forward:
    """The device answers."""

    command: Command


@dataclass(frozen=True, slots=True)
class Lease:
    """The device answers, and a later push belongs to the asker."""

    command: Command
    slot: Slot
    key: bytes
    """What the push is known by: six key bytes or a tag; empty while only ``SENT`` will tell."""


@dataclass(frozen=True, slots=True)
class Local:
    """The session answers."""

    kind: LocalKind


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing can be said yet; decide again when the mirror knows more."""

    need: Need


type Decision = Answer | Replay | Refuse | Forward | Lease | Local | Hold

_KEY_OFFSETS: Final = {
    Slot.LOGIN: 1,
    Slot.STATUS: 1,
    Slot.TELEMETRY: 4,
    Slot.DISCOVERY: 2,
}
_OK: Final = Answer((OK_FRAME,))


def decide(frame: bytes, mirror: Mirror, rights: Rights) -> Decision:
    """Say what happens to a client's command.

    Args:
        frame: The command, one byte at least.
        mirror: What is known of the device.
        rights: What this client may do.
    """
    command = COMMANDS.get(frame[0])
    if command is None:
        return _refuse(Err.UNSUPPORTED_CMD, Reason.UNKNOWN)
    if len(frame) > MAX_FRAME_SIZE:
        return _refuse(Err.ILLEGAL_ARG, Reason.LENGTH)
    if command.gate is Gate.NEVER:
        return Refuse(DISABLED_FRAME, Reason.PRIVATE_KEY)
    if not command.fits(frame):
        # What firmware that checks the length answers, too.
        return _refuse(Err.UNSUPPORTED_CMD, Reason.LENGTH)
    if command.gate is Gate.MIRROR:
        return _from_mirror(command, frame, mirror)
    if command.gate is Gate.LOCAL:
        return _locally(frame, mirror)
    if command.kind in (Kind.CHANGE, Kind.DANGER) and is_present_state(frame, mirror):
        return _OK
    refusal = _gate(command, frame, rights)
    if refusal is not None:
        return refusal
    if command.slot is None or is_self_telemetry(frame):
        return Forward(command)
    return Lease(command, command.slot, _lease_key(command.slot, frame))


def _refuse(error: Err, reason: Reason) -> Refuse:
    return Refuse(err_frame(error), reason)


def _gate(command: Command, frame: bytes, rights: Rights) -> Refuse | None:
    """Return the refusal where a client may not send this command."""
    gate = command.gate
    if gate is Gate.ADMIN and not rights.admin:
        return _refuse(Err.UNSUPPORTED_CMD, Reason.ADMIN)
    if gate is Gate.CONTACTS and not (rights.admin or rights.contacts):
        return _refuse(Err.UNSUPPORTED_CMD, Reason.CONTACTS)
    if gate is Gate.DESTRUCTIVE and not (rights.admin and rights.destructive):
        reason = Reason.DESTRUCTIVE if rights.admin else Reason.ADMIN
        if command.code is Cmd.IMPORT_PRIVATE_KEY:
            return Refuse(DISABLED_FRAME, reason)
        return _refuse(Err.UNSUPPORTED_CMD, reason)
    if gate is Gate.SIGN and not rights.signing:
        return _refuse(Err.UNSUPPORTED_CMD, Reason.SIGNING)
    if command.code is Cmd.SEND_TXT_MSG and frame[1] != TxtType.PLAIN:
        if frame[1] not in (TxtType.CLI_DATA, TxtType.CLI_COMMAND):
            return _refuse(Err.UNSUPPORTED_CMD, Reason.TEXT_TYPE)
        if not rights.admin:
            return _refuse(Err.UNSUPPORTED_CMD, Reason.ADMIN)
    if command.code is Cmd.SEND_CHANNEL_TXT_MSG and frame[1] != TxtType.PLAIN:
        return _refuse(Err.UNSUPPORTED_CMD, Reason.TEXT_TYPE)
    return None


def _lease_key(slot: Slot, frame: bytes) -> bytes:
    if slot is Slot.TRACE:
        return frame[1:5]
    offset = _KEY_OFFSETS.get(slot)
    return b"" if offset is None else frame[offset : offset + 6]


def _from_mirror(command: Command, frame: bytes, mirror: Mirror) -> Decision:
    """Answer a reading command, or say what has to be known first."""
    code = command.code
    if code is Cmd.APP_START:
        return Answer((mirror.self_info,)) if mirror.self_info else Hold(Need.SELF)
    if code is Cmd.DEVICE_QUERY:
        return Answer((mirror.device_info,)) if mirror.device_info else Hold(Need.DEVICE)
    if code is Cmd.GET_CONTACTS:
        if not mirror.contacts.is_complete:
            return Hold(Need.CONTACTS)
        since = int.from_bytes(frame[1:5], "little")
        return Replay(mirror.contacts.replay(since))
    if code is Cmd.GET_CONTACT_BY_KEY:
        return _contact_by_key(command, frame[1:33], mirror)
    if code is Cmd.GET_CHANNEL:
        return _channel(frame[1], mirror)
    kept = mirror.kept.get(next(iter(command.replies)))
    return Answer((kept,)) if kept else Forward(command)


def _contact_by_key(command: Command, key: bytes, mirror: Mirror) -> Decision:
    known = mirror.contacts.frames.get(key)
    if mirror.is_wanted(key):
        # It has just changed, and what we have is older than what the client knows already.
        return Forward(command)
    if known is not None:
        return Answer((known,))
    if not mirror.contacts.is_complete:
        return Hold(Need.CONTACTS)
    return Answer((err_frame(Err.NOT_FOUND),))


def _channel(index: int, mirror: Mirror) -> Decision:
    if mirror.device is None:
        return Hold(Need.DEVICE)
    if index >= mirror.device.max_channels:
        # How an app that reads until it meets an error finds the end of the table.
        return Answer((err_frame(Err.NOT_FOUND),))
    known = mirror.channels.get(index)
    return Answer((known,)) if known else Hold(Need.CHANNELS)


def _locally(frame: bytes, mirror: Mirror) -> Decision:
    """Decide on what a session answers without the device."""
    if frame[0] == Cmd.SET_DEVICE_TIME:
        # The device's clock is ours to set; a phone whose clock is wrong must not move it.
        return _OK
    if frame[0] == Cmd.GET_DEVICE_TIME:
        return Local(LocalKind.GET_TIME)
    if frame[0] == Cmd.SYNC_NEXT_MESSAGE:
        return Local(LocalKind.SYNC)
    version = 0 if mirror.device is None else mirror.device.protocol_version
    if mirror.device is not None and version < (12 if frame[1] == 1 else 8):
        return _refuse(Err.UNSUPPORTED_CMD, Reason.NOT_SUPPORTED)
    return Local(LocalKind.SCOPE)


def is_present_state(frame: bytes, mirror: Mirror) -> bool:
    """Return whether a change would leave everything as it is.

    The PIN is not among what is compared: the answer would tell it to who tries them all.
    """
    code = frame[0]
    if code == Cmd.SET_CHANNEL:
        known = mirror.channels.get(frame[1])
        name = frame[2:33].partition(b"\0")[0].ljust(32, b"\0")
        return known is not None and known[2:50] == name + frame[34:50]
    if code == Cmd.ADD_UPDATE_CONTACT:
        contact = mirror.contacts.frames.get(frame[1:33])
        end = contact_fields_end(len(frame))
        return contact is not None and contact[1:end] == frame[1:end]
    if code == Cmd.RESET_PATH:
        return False
    return _is_present_self(frame, mirror) or _is_present_setting(frame, mirror)


def _is_present_self(frame: bytes, mirror: Mirror) -> bool:
    info, code = mirror.info, frame[0]
    if info is None:
        return False
    if code == Cmd.SET_ADVERT_NAME:
        return frame[1:32].partition(b"\0")[0] == info.name.encode()
    if code == Cmd.SET_RADIO_TX_POWER:
        return int.from_bytes(frame[1:2], signed=True) == info.tx_power
    if code == Cmd.SET_ADVERT_LATLON:
        # The firmware keeps floating-point degrees: what comes back may be one unit less.
        wanted = (frame[1:5], frame[5:9])
        known = (info.latitude, info.longitude)
        return all(
            abs(int.from_bytes(raw, "little", signed=True) - value) <= 1
            for raw, value in zip(wanted, known, strict=True)
        )
    if code == Cmd.SET_RADIO_PARAMS:
        repeat = int(len(frame) > 11 and frame[11] != 0)
        present = 0 if mirror.device is None else mirror.device.client_repeat or 0
        return repeat == present and frame[1:11] == _radio_bytes(mirror)
    if code == Cmd.SET_OTHER_PARAMS:
        present_params = bytes(
            (info.manual_add, info.telemetry_modes, info.advert_location, info.multi_acks)
        )
        return frame[1:5] == present_params[: len(frame[1:5])]
    return False


def _radio_bytes(mirror: Mirror) -> bytes:
    """Return frequency, bandwidth, spreading factor and coding rate as both frames hold them."""
    return b"" if mirror.self_info is None else mirror.self_info[48:58]


def _is_present_setting(frame: bytes, mirror: Mirror) -> bool:
    code = frame[0]
    if code == Cmd.SET_TUNING_PARAMS:
        return mirror.kept.get(Resp.TUNING_PARAMS, b"")[1:9] == frame[1:9]
    if code == Cmd.SET_AUTOADD_CONFIG:
        known = mirror.kept.get(Resp.AUTOADD_CONFIG, b"")[1:3]
        given = frame[1:2] + bytes(min(hops, 64) for hops in frame[2:3])
        return bool(known) and given == known[: len(given)]
    if code == Cmd.SET_PATH_HASH_MODE:
        return mirror.device is not None and mirror.device.path_hash_mode == frame[2]
    if code == Cmd.SET_DEFAULT_FLOOD_SCOPE:
        return _is_present_scope(frame, mirror.kept.get(Resp.DEFAULT_FLOOD_SCOPE))
    if code == Cmd.SET_CUSTOM_VAR:
        known = mirror.kept.get(Resp.CUSTOM_VARS, b"")
        return frame[1:].partition(b"\0")[0] in known[1:].split(b",")
    return False


def _is_present_scope(frame: bytes, known: bytes | None) -> bool:
    if known is None:
        return False
    if len(frame) == 1 or len(known) == 1:
        return len(frame) == len(known)
    name = frame[1:32].partition(b"\0")[0]
    return known[1:32].partition(b"\0")[0] == name and known[32:48] == frame[32:48]
