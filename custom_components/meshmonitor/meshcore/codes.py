"""The code bytes of the MeshCore companion protocol.

The first byte of every frame says what it is: a command from an app, a
response to one, or (0x80 and above) a push that the device sends on its own.
Source: MeshCore firmware v1.17.1, examples/companion_radio/MyMesh.cpp; 29 and
66 are from protocol version 14.
"""

from enum import IntEnum
from typing import Final

PROTOCOL_VERSION: Final = 13
"""The highest protocol version (``FIRMWARE_VER_CODE``) that this code implements."""

PUSH_BIT: Final = 0x80
"""Frames from the device whose first byte has this bit were not asked for."""

KEY_SIZE: Final = 32
PREFIX_SIZE: Final = 6
"""Most frames name a node by the first six bytes of its public key."""

PATH_SIZE: Final = 64
NAME_SIZE: Final = 32
PATH_UNKNOWN: Final = 0xFF
"""As a contact's path length: no path known. As a message's: it came direct."""


class Cmd(IntEnum):
    """Commands, from the app to the device."""

    APP_START = 1
    SEND_TXT_MSG = 2
    SEND_CHANNEL_TXT_MSG = 3
    GET_CONTACTS = 4
    GET_DEVICE_TIME = 5
    SET_DEVICE_TIME = 6
    SEND_SELF_ADVERT = 7
    SET_ADVERT_NAME = 8
    ADD_UPDATE_CONTACT = 9
    SYNC_NEXT_MESSAGE = 10
    SET_RADIO_PARAMS = 11
    SET_RADIO_TX_POWER = 12
    RESET_PATH = 13
    SET_ADVERT_LATLON = 14
    REMOVE_CONTACT = 15
    SHARE_CONTACT = 16
    EXPORT_CONTACT = 17
    IMPORT_CONTACT = 18
    REBOOT = 19
    GET_BATT_AND_STORAGE = 20
    SET_TUNING_PARAMS = 21
    DEVICE_QUERY = 22
    EXPORT_PRIVATE_KEY = 23
    IMPORT_PRIVATE_KEY = 24
    SEND_RAW_DATA = 25
    SEND_LOGIN = 26
    SEND_STATUS_REQ = 27
    HAS_CONNECTION = 28
    LOGOUT = 29
    GET_CONTACT_BY_KEY = 30
    GET_CHANNEL = 31
    SET_CHANNEL = 32
    SIGN_START = 33
    SIGN_DATA = 34
    SIGN_FINISH = 35
    SEND_TRACE_PATH = 36
    SET_DEVICE_PIN = 37
    SET_OTHER_PARAMS = 38
    SEND_TELEMETRY_REQ = 39
    GET_CUSTOM_VARS = 40
    SET_CUSTOM_VAR = 41
    GET_ADVERT_PATH = 42
    GET_TUNING_PARAMS = 43
    SEND_BINARY_REQ = 50
    FACTORY_RESET = 51
    SEND_PATH_DISCOVERY_REQ = 52
    SET_FLOOD_SCOPE_KEY = 54
    SEND_CONTROL_DATA = 55
    GET_STATS = 56
    SEND_ANON_REQ = 57
    SET_AUTOADD_CONFIG = 58
    GET_AUTOADD_CONFIG = 59
    GET_ALLOWED_REPEAT_FREQ = 60
    SET_PATH_HASH_MODE = 61
    SEND_CHANNEL_DATA = 62
    SET_DEFAULT_FLOOD_SCOPE = 63
    GET_DEFAULT_FLOOD_SCOPE = 64
    SEND_RAW_PACKET = 65
    RUN_CLI_COMMAND = 66


class Resp(IntEnum):
    """Responses, from the device, each to the command that is being handled."""

    OK = 0
    ERR = 1
    CONTACTS_START = 2
    CONTACT = 3
    END_OF_CONTACTS = 4
    SELF_INFO = 5
    SENT = 6
    CONTACT_MSG_RECV = 7
    CHANNEL_MSG_RECV = 8
    CURR_TIME = 9
    NO_MORE_MESSAGES = 10
    EXPORT_CONTACT = 11
    BATT_AND_STORAGE = 12
    DEVICE_INFO = 13
    PRIVATE_KEY = 14
    DISABLED = 15
    CONTACT_MSG_RECV_V3 = 16
    CHANNEL_MSG_RECV_V3 = 17
    CHANNEL_INFO = 18
    SIGN_START = 19
    SIGNATURE = 20
    CUSTOM_VARS = 21
    ADVERT_PATH = 22
    TUNING_PARAMS = 23
    STATS = 24
    AUTOADD_CONFIG = 25
    ALLOWED_REPEAT_FREQ = 26
    CHANNEL_DATA_RECV = 27
    DEFAULT_FLOOD_SCOPE = 28
    CLI_REPLY = 29


class Push(IntEnum):
    """Frames that the device sends when something happens."""

    ADVERT = 0x80
    PATH_UPDATED = 0x81
    SEND_CONFIRMED = 0x82
    MSG_WAITING = 0x83
    RAW_DATA = 0x84
    LOGIN_SUCCESS = 0x85
    LOGIN_FAIL = 0x86
    STATUS_RESPONSE = 0x87
    LOG_RX_DATA = 0x88
    TRACE_DATA = 0x89
    NEW_ADVERT = 0x8A
    TELEMETRY_RESPONSE = 0x8B
    BINARY_RESPONSE = 0x8C
    PATH_DISCOVERY_RESPONSE = 0x8D
    CONTROL_DATA = 0x8E
    CONTACT_DELETED = 0x8F
    CONTACTS_FULL = 0x90


class Err(IntEnum):
    """The second byte of an ``ERR`` response."""

    UNSUPPORTED_CMD = 1
    NOT_FOUND = 2
    TABLE_FULL = 3
    BAD_STATE = 4
    FILE_IO_ERROR = 5
    ILLEGAL_ARG = 6


class TxtType(IntEnum):
    """What a text is; CLI texts make the receiver run a command."""

    PLAIN = 0
    CLI_DATA = 1
    SIGNED_PLAIN = 2
    CLI_COMMAND = 3


class AdvType(IntEnum):
    """What a contact advertises itself as; 0 is a transient, anonymous entry."""

    NONE = 0
    CHAT = 1
    REPEATER = 2
    ROOM = 3
    SENSOR = 4


class BinaryReq(IntEnum):
    """The kinds of request that ``SEND_BINARY_REQ`` carries to another node."""

    STATUS = 1
    KEEP_ALIVE = 2
    TELEMETRY = 3
    MIN_MAX_AVG = 4
    ACCESS_LIST = 5
    NEIGHBOURS = 6
    OWNER = 7


OK_FRAME: Final = bytes([Resp.OK])
DISABLED_FRAME: Final = bytes([Resp.DISABLED])
NO_MORE_FRAME: Final = bytes([Resp.NO_MORE_MESSAGES])
MSG_WAITING_FRAME: Final = bytes([Push.MSG_WAITING])


def err_frame(error: Err) -> bytes:
    """Return the two-byte error response."""
    return bytes([Resp.ERR, error])
