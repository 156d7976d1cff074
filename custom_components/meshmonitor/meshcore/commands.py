"""Every command of the protocol, one row each: what it is, what answers it, who may send it.

The firmware does not check the length of several commands and then reads what the command before
left in its buffer: ``REMOVE_CONTACT`` with half a key may remove another contact. So a command is
forwarded only when its length fits its row.

Source: MeshCore firmware v1.17.1, examples/companion_radio/MyMesh.cpp, ``handleCmdFrame``;
protocol version 14 for ``RUN_CLI_COMMAND``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

from .codes import KEY_SIZE, PATH_UNKNOWN, Cmd, Push, Resp


class Kind(Enum):
    """What a command does."""

    READ = "read"
    SEND = "send"
    """Transmits over the air."""
    CHANGE = "change"
    """Changes what the device keeps over a restart."""
    STATE = "state"
    """Changes only what the device or the connection holds in memory."""
    DANGER = "danger"


class Gate(StrEnum):
    """How a client's command is treated."""

    MIRROR = "mirror"
    """Answered from the mirror."""
    FORWARD = "forward"
    """Sent to the device; the response goes to the asker."""
    LEASE = "lease"
    """Forwarded; a later push answers it and goes to the asker."""
    LOCAL = "local"
    """Handled by the client's session."""
    ADMIN = "admin"
    """Forwarded for a client that may administer."""
    CONTACTS = "contacts"
    """Forwarded for a client that may administer, or for all where contacts are shared."""
    DESTRUCTIVE = "destructive"
    """Forwarded for a client that may administer where destructive commands are allowed too."""
    SIGN = "sign"
    """Uses the device's identity; forwarded where signing is allowed."""
    NEVER = "never"


class Slot(Enum):
    """What the push that answers a leased command is known by."""

    LOGIN = "login"
    STATUS = "status"
    TELEMETRY = "telemetry"
    DISCOVERY = "discovery"
    BINARY = "binary"
    """Binary and anonymous requests: by the tag in the ``SENT`` response."""
    TRACE = "trace"
    """By the tag that the command carries."""
    SIGN = "sign"
    """No push: three commands in a row that nobody may come between."""

    @property
    def is_shared(self) -> bool:
        """Whether it is kept in the device's one place for a pending request."""
        return self not in (Slot.TRACE, Slot.SIGN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the table."""

    code: Cmd
    kind: Kind
    gate: Gate
    fits: Callable[[bytes], bool]
    """Whether a frame of this command has all bytes that the firmware reads."""
    replies: frozenset[int]
    """Response codes that end it, besides ``ERR``; empty: nothing answers."""
    slot: Slot | None = None
    is_scoped: bool = False
    """Whether what it sends is flooded within the scope set by ``SET_FLOOD_SCOPE_KEY``."""

    @property
    def name(self) -> str:
        """The firmware's name for it."""
        return self.code.name

    @property
    def only_asks(self) -> bool:
        """Whether it is good for nothing but its answer, at once or later."""
        return self.kind is Kind.READ or self.slot is not None


def _at_least(size: int) -> Callable[[bytes], bool]:
    return lambda frame: len(frame) >= size


def _one_of(*sizes: int, or_more: int) -> Callable[[bytes], bool]:
    return lambda frame: len(frame) in sizes or len(frame) >= or_more


def _fits_reserved_zero(size: int) -> Callable[[bytes], bool]:
    return lambda frame: len(frame) >= size and frame[1] == 0


def _fits_set_channel(frame: bytes) -> bool:
    return 50 <= len(frame) < 66


def _fits_raw_data(frame: bytes) -> bool:
    return len(frame) >= 6 and frame[1] < 0x80 and len(frame) >= 2 + frame[1] + 4


def _fits_flood_scope(frame: bytes) -> bool:
    return len(frame) >= 2 and (
        frame[1] == 1 or (frame[1] == 0 and (len(frame) == 2 or len(frame) >= 18))
    )


def _fits_control_data(frame: bytes) -> bool:
    return len(frame) >= 2 and frame[1] >= 0x80


def _fits_channel_data(frame: bytes) -> bool:
    if len(frame) < 5:
        return False
    path = frame[2]
    size = 0 if path == PATH_UNKNOWN else (path & 63) * ((path >> 6) + 1)
    return len(frame) >= 3 + size + 2


def _row(
    code: Cmd,
    kind: Kind,
    gate: Gate,
    fits: Callable[[bytes], bool],
    *replies: int,
    slot: Slot | None = None,
    scoped: bool = False,
) -> tuple[Cmd, Command]:
    return code, Command(
        code=code,
        kind=kind,
        gate=gate,
        fits=fits,
        replies=frozenset(replies),
        slot=slot,
        is_scoped=scoped,
    )


_READ: Final = Kind.READ
_SEND: Final = Kind.SEND
_CHANGE: Final = Kind.CHANGE
_STATE: Final = Kind.STATE
_DANGER: Final = Kind.DANGER
_KEY: Final = 1 + KEY_SIZE
_OK: Final = Resp.OK
_SENT: Final = Resp.SENT

INBOX_CODES: Final = frozenset(
    {
        Resp.CONTACT_MSG_RECV,
        Resp.CHANNEL_MSG_RECV,
        Resp.CONTACT_MSG_RECV_V3,
        Resp.CHANNEL_MSG_RECV_V3,
        Resp.CHANNEL_DATA_RECV,
    }
)
"""The inbox items that this code knows; newer firmware may hand out others."""

# The table has one row a command, so that it can be read like the one it was made from.
# fmt: off
COMMANDS: Final[Mapping[int, Command]] = MappingProxyType(
    dict([
        _row(Cmd.APP_START, _STATE, Gate.MIRROR, _at_least(8), Resp.SELF_INFO),
        _row(Cmd.SEND_TXT_MSG, _SEND, Gate.FORWARD, _at_least(14), _SENT, scoped=True),
        _row(Cmd.SEND_CHANNEL_TXT_MSG, _SEND, Gate.FORWARD, _at_least(7), _OK, scoped=True),
        _row(Cmd.GET_CONTACTS, _READ, Gate.MIRROR, _one_of(1, or_more=5), Resp.END_OF_CONTACTS),
        _row(Cmd.GET_DEVICE_TIME, _READ, Gate.LOCAL, _at_least(1), Resp.CURR_TIME),
        _row(Cmd.SET_DEVICE_TIME, _STATE, Gate.LOCAL, _at_least(5), _OK),
        _row(Cmd.SEND_SELF_ADVERT, _SEND, Gate.FORWARD, _at_least(1), _OK),
        _row(Cmd.SET_ADVERT_NAME, _CHANGE, Gate.ADMIN, _at_least(2), _OK),
        _row(Cmd.ADD_UPDATE_CONTACT, _CHANGE, Gate.CONTACTS, _at_least(136), _OK),
        _row(Cmd.SYNC_NEXT_MESSAGE, _STATE, Gate.LOCAL,
             _at_least(1), Resp.NO_MORE_MESSAGES, *INBOX_CODES),
        _row(Cmd.SET_RADIO_PARAMS, _DANGER, Gate.ADMIN, _at_least(11), _OK),
        _row(Cmd.SET_RADIO_TX_POWER, _CHANGE, Gate.ADMIN, _at_least(2), _OK),
        _row(Cmd.RESET_PATH, _CHANGE, Gate.FORWARD, _at_least(_KEY), _OK),
        _row(Cmd.SET_ADVERT_LATLON, _CHANGE, Gate.ADMIN, _at_least(9), _OK),
        _row(Cmd.REMOVE_CONTACT, _CHANGE, Gate.CONTACTS, _at_least(_KEY), _OK),
        _row(Cmd.SHARE_CONTACT, _SEND, Gate.FORWARD, _at_least(_KEY), _OK),
        _row(Cmd.EXPORT_CONTACT, _READ, Gate.FORWARD,
             _one_of(1, or_more=_KEY), Resp.EXPORT_CONTACT),
        _row(Cmd.IMPORT_CONTACT, _CHANGE, Gate.CONTACTS, _at_least(99), _OK),
        _row(Cmd.REBOOT, _DANGER, Gate.ADMIN, lambda frame: frame[1:7] == b"reboot"),
        _row(Cmd.GET_BATT_AND_STORAGE, _READ, Gate.MIRROR, _at_least(1), Resp.BATT_AND_STORAGE),
        _row(Cmd.SET_TUNING_PARAMS, _CHANGE, Gate.ADMIN, _at_least(9), _OK),
        _row(Cmd.DEVICE_QUERY, _STATE, Gate.MIRROR, _at_least(2), Resp.DEVICE_INFO),
        _row(Cmd.EXPORT_PRIVATE_KEY, _DANGER, Gate.NEVER,
             _at_least(1), Resp.PRIVATE_KEY, Resp.DISABLED),
        _row(Cmd.IMPORT_PRIVATE_KEY, _DANGER, Gate.DESTRUCTIVE, _at_least(65), _OK, Resp.DISABLED),
        _row(Cmd.SEND_RAW_DATA, _SEND, Gate.FORWARD, _fits_raw_data, _OK),
        _row(Cmd.SEND_LOGIN, _SEND, Gate.LEASE,
             _at_least(_KEY), _SENT, slot=Slot.LOGIN, scoped=True),
        _row(Cmd.SEND_STATUS_REQ, _SEND, Gate.LEASE,
             _at_least(_KEY), _SENT, slot=Slot.STATUS, scoped=True),
        _row(Cmd.HAS_CONNECTION, _READ, Gate.FORWARD, _at_least(_KEY), _OK),
        _row(Cmd.LOGOUT, _STATE, Gate.FORWARD, _at_least(_KEY), _OK),
        _row(Cmd.GET_CONTACT_BY_KEY, _READ, Gate.MIRROR, _at_least(_KEY), Resp.CONTACT),
        _row(Cmd.GET_CHANNEL, _READ, Gate.MIRROR, _at_least(2), Resp.CHANNEL_INFO),
        _row(Cmd.SET_CHANNEL, _CHANGE, Gate.ADMIN, _fits_set_channel, _OK),
        _row(Cmd.SIGN_START, _STATE, Gate.SIGN, _at_least(1), Resp.SIGN_START, slot=Slot.SIGN),
        _row(Cmd.SIGN_DATA, _STATE, Gate.SIGN, _at_least(2), _OK, slot=Slot.SIGN),
        _row(Cmd.SIGN_FINISH, _STATE, Gate.SIGN, _at_least(1), Resp.SIGNATURE, slot=Slot.SIGN),
        _row(Cmd.SEND_TRACE_PATH, _SEND, Gate.LEASE, _at_least(11), _SENT, slot=Slot.TRACE),
        _row(Cmd.SET_DEVICE_PIN, _DANGER, Gate.ADMIN, _at_least(5), _OK),
        _row(Cmd.SET_OTHER_PARAMS, _CHANGE, Gate.ADMIN, _at_least(2), _OK),
        _row(Cmd.SEND_TELEMETRY_REQ, _SEND, Gate.LEASE,
             _one_of(4, or_more=3 + _KEY), _SENT, slot=Slot.TELEMETRY, scoped=True),
        _row(Cmd.GET_CUSTOM_VARS, _READ, Gate.FORWARD, _at_least(1), Resp.CUSTOM_VARS),
        _row(Cmd.SET_CUSTOM_VAR, _CHANGE, Gate.ADMIN, _at_least(4), _OK),
        _row(Cmd.GET_ADVERT_PATH, _READ, Gate.FORWARD, _at_least(1 + _KEY), Resp.ADVERT_PATH),
        _row(Cmd.GET_TUNING_PARAMS, _READ, Gate.FORWARD, _at_least(1), Resp.TUNING_PARAMS),
        _row(Cmd.SEND_BINARY_REQ, _SEND, Gate.LEASE,
             _at_least(_KEY + 1), _SENT, slot=Slot.BINARY, scoped=True),
        _row(Cmd.FACTORY_RESET, _DANGER, Gate.DESTRUCTIVE,
             lambda frame: frame[1:6] == b"reset", _OK),
        _row(Cmd.SEND_PATH_DISCOVERY_REQ, _SEND, Gate.LEASE,
             _fits_reserved_zero(1 + _KEY), _SENT, slot=Slot.DISCOVERY, scoped=True),
        _row(Cmd.SET_FLOOD_SCOPE_KEY, _STATE, Gate.LOCAL, _fits_flood_scope, _OK),
        _row(Cmd.SEND_CONTROL_DATA, _SEND, Gate.FORWARD, _fits_control_data, _OK),
        _row(Cmd.GET_STATS, _READ, Gate.FORWARD, _at_least(2), Resp.STATS),
        _row(Cmd.SEND_ANON_REQ, _SEND, Gate.LEASE,
             _at_least(_KEY + 1), _SENT, slot=Slot.BINARY, scoped=True),
        _row(Cmd.SET_AUTOADD_CONFIG, _CHANGE, Gate.ADMIN, _at_least(2), _OK),
        _row(Cmd.GET_AUTOADD_CONFIG, _READ, Gate.MIRROR, _at_least(1), Resp.AUTOADD_CONFIG),
        _row(Cmd.GET_ALLOWED_REPEAT_FREQ, _READ, Gate.FORWARD,
             _at_least(1), Resp.ALLOWED_REPEAT_FREQ),
        _row(Cmd.SET_PATH_HASH_MODE, _CHANGE, Gate.ADMIN, _fits_reserved_zero(3), _OK),
        _row(Cmd.SEND_CHANNEL_DATA, _SEND, Gate.FORWARD, _fits_channel_data, _OK, scoped=True),
        _row(Cmd.SET_DEFAULT_FLOOD_SCOPE, _CHANGE, Gate.ADMIN, _one_of(1, or_more=48), _OK),
        _row(Cmd.GET_DEFAULT_FLOOD_SCOPE, _READ, Gate.MIRROR,
             _at_least(1), Resp.DEFAULT_FLOOD_SCOPE),
        _row(Cmd.SEND_RAW_PACKET, _DANGER, Gate.ADMIN, _at_least(4), _OK),
        _row(Cmd.RUN_CLI_COMMAND, _DANGER, Gate.ADMIN, _at_least(2), Resp.CLI_REPLY),
    ])
)
# fmt: on
"""Codes that are not in here (44 to 49, 53, 67 and up) are refused: nobody knows their answers."""

SLOT_PUSHES: Final[Mapping[Slot, frozenset[int]]] = MappingProxyType(
    {
        Slot.LOGIN: frozenset({Push.LOGIN_SUCCESS, Push.LOGIN_FAIL}),
        Slot.STATUS: frozenset({Push.STATUS_RESPONSE}),
        Slot.TELEMETRY: frozenset({Push.TELEMETRY_RESPONSE}),
        Slot.DISCOVERY: frozenset({Push.PATH_DISCOVERY_RESPONSE}),
        Slot.BINARY: frozenset({Push.BINARY_RESPONSE}),
        Slot.TRACE: frozenset({Push.TRACE_DATA}),
        Slot.SIGN: frozenset(),
    }
)
"""What answers a leased command in the end."""


_REPEATED: Final = {Cmd.GET_CONTACT_BY_KEY: KEY_SIZE, Cmd.GET_CHANNEL: 1, Cmd.GET_STATS: 1}
"""Commands whose response says first what was asked for, and how many bytes that takes."""


def is_about_another(frame: bytes, reply: bytes) -> bool:
    """Return whether a response is about something else than what a command asked for.

    Firmware with several interfaces sends every response to all of them: where a phone reads its
    contacts and channels over Bluetooth, they arrive here as well.
    """
    size = _REPEATED.get(Cmd(frame[0]), 0)
    return reply[1 : 1 + size] != frame[1 : 1 + size]


def is_self_telemetry(frame: bytes) -> bool:
    """Return whether a telemetry request asks the own device, which answers at once with a push."""
    return frame[0] == Cmd.SEND_TELEMETRY_REQ and len(frame) == 4


def is_transmission(frame: bytes) -> bool:
    """Return whether a command has the device put something on the air."""
    if frame[0] == Cmd.SEND_RAW_PACKET:
        return True
    return COMMANDS[frame[0]].kind is Kind.SEND and not is_self_telemetry(frame)
