"""Taking secrets out of what clients get, and putting them back into what clients set.

All by wire splice: what is no secret stays byte for byte. For the Wi-Fi key and the MQTT password
the firmware has a word of its own, ``sekrit``, which it says to remote administrators and which it
understands as "keep the current value" (firmware ``src/modules/AdminModule.cpp``, ``writeSecret``).
The private key, the Bluetooth PIN and the PIN of the radio's own display have none and are left
out.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from . import admin, wire
from .client_frame import MAX_DATA_PAYLOAD

PLACEHOLDER: Final = b"sekrit"
"""``secretReserved`` in the firmware's ``src/modules/AdminModule.cpp``."""

_FROM_RADIO_PACKET: Final = 2
_FROM_RADIO_CONFIG: Final = 5
_FROM_RADIO_MODULE_CONFIG: Final = 9
_FROM_RADIO_UI_CONFIG: Final = 17

_PACKET_DECODED: Final = 4
_DATA_PORTNUM: Final = 1
_DATA_PAYLOAD: Final = 2

_NETWORK: Final = 4
_BLUETOOTH: Final = 7
_SECURITY: Final = 8
_DEVICE_UI: Final = 10
_MQTT: Final = 1

_WIFI_PSK: Final = 4
_FIXED_PIN: Final = 3
_SCREEN_LOCK: Final = 4
_SETTINGS_LOCK: Final = 5
_PIN_CODE: Final = 6
_PUBLIC_KEY: Final = 1
_PRIVATE_KEY: Final = 2
_MQTT_PASSWORD: Final = 4

type _Edit = Callable[[bytes], bytes]


class ConfigView(Protocol):
    """The real values, as the radio gave them."""

    def config(self, tag: int) -> bytes | None:
        """Return the serialised ``Config`` that holds this member of its oneof."""

    def module_config(self, tag: int) -> bytes | None:
        """Return the serialised ``ModuleConfig`` that holds this member of its oneof."""

    def ui_config(self) -> bytes | None:
        """Return the serialised ``DeviceUIConfig``."""


def redact(from_radio: bytes) -> bytes:
    """Return a ``FromRadio`` payload without its secrets; the same object where it has none.

    Raises:
        wire.WireError: It is malformed where a secret might be.
    """
    return _edit_members(from_radio, _IN_FROM_RADIO)


def redact_admin(payload: bytes) -> bytes:
    """Return an ``AdminMessage`` without the secrets of the answer that it may hold.

    Raises:
        wire.WireError: It is malformed where a secret might be.
    """
    return _edit_members(payload, _IN_ADMIN)


def without_private_key(from_radio: bytes) -> bytes:
    """Return a ``FromRadio`` payload of the configuration without the radio's private key.

    Raises:
        wire.WireError: It is malformed where the key might be.
    """
    return _edit_members(from_radio, _KEY_IN_FROM_RADIO)


def restore(payload: bytes, real: ConfigView) -> bytes:
    """Return an ``AdminMessage`` that sets a configuration, with the real secrets put back.

    A client that was given a redacted configuration sends it back with its changes; the radio
    must not take the gaps for values. Firmware before 2.8 makes a new key pair, and so another
    node, out of a security configuration without a private key.

    Args:
        payload: What an admitted client sends to the radio of `real`, well-formed or not.
        real: Where the values are; what it does not know is left to the firmware.

    Returns:
        The message; unchanged where nothing is missing, or where it would become too long.
    """

    def put_back_psk(network: bytes) -> bytes:
        return _put_back_word(network, _WIFI_PSK, real.config(_NETWORK), _NETWORK)

    def put_back_password(mqtt: bytes) -> bytes:
        return _put_back_word(mqtt, _MQTT_PASSWORD, real.module_config(_MQTT), _MQTT)

    def put_back_pin(bluetooth: bytes) -> bytes:
        pin = _number(_member(real.config(_BLUETOOTH), _BLUETOOTH), _FIXED_PIN)
        if _number(bluetooth, _FIXED_PIN) or not pin:
            return bluetooth
        return wire.replace_field(bluetooth, _FIXED_PIN, wire.varint_field(_FIXED_PIN, pin))

    def put_back_key(security: bytes) -> bytes:
        private_key = _value(_member(real.config(_SECURITY), _SECURITY), _PRIVATE_KEY)
        if _value(security, _PRIVATE_KEY) or not private_key:
            return security
        # As firmware 2.8 does: the public key that belongs to it is kept with it.
        public_key = _value(_member(real.config(_SECURITY), _SECURITY), _PUBLIC_KEY)
        security = wire.replace_field(
            security, _PUBLIC_KEY, wire.bytes_field(_PUBLIC_KEY, public_key)
        )
        return wire.replace_field(
            security, _PRIVATE_KEY, wire.bytes_field(_PRIVATE_KEY, private_key)
        )

    def put_back_lock(ui: bytes) -> bytes:
        # Without a lock, no PIN is as good as any: who takes the lock off takes it away.
        pin = _number(real.ui_config() or b"", _PIN_CODE)
        is_locked = _number(ui, _SCREEN_LOCK) or _number(ui, _SETTINGS_LOCK)
        if not (pin and is_locked) or _number(ui, _PIN_CODE):
            return ui
        return wire.replace_field(ui, _PIN_CODE, wire.varint_field(_PIN_CODE, pin))

    config_edits = {_NETWORK: put_back_psk, _BLUETOOTH: put_back_pin, _SECURITY: put_back_key}
    edits: dict[int, _Edit] = {
        admin.SET_CONFIG: lambda config: _edit_members(config, config_edits),
        admin.SET_MODULE_CONFIG: lambda config: _edit_members(config, {_MQTT: put_back_password}),
        admin.STORE_UI_CONFIG: put_back_lock,
    }
    try:
        restored = _edit_members(payload, edits)
    except wire.WireError:
        return payload
    return restored if len(restored) <= MAX_DATA_PAYLOAD else payload


def lacks_private_key(payload: bytes) -> bool:
    """Return whether an ``AdminMessage`` sets a security configuration without a private key.

    Args:
        payload: What an admitted client sends, well-formed or not.
    """
    try:
        config = _value(payload, admin.SET_CONFIG)
        sets_security = wire.last(wire.scan(config), _SECURITY) is not None
        return sets_security and not _value(_value(config, _SECURITY), _PRIVATE_KEY)
    except wire.WireError:
        return False


def _edit_members(message: bytes, edits: Mapping[int, _Edit]) -> bytes:
    """Return the message with the `wire.BYTES` fields of these numbers edited."""
    parts: list[bytes] = []
    copied = 0
    for field in wire.scan(message):
        edit = edits.get(field.number)
        if edit is None or field.wire_type != wire.BYTES:
            continue
        value = message[field.value_start : field.end]
        edited = edit(value)
        if edited != value:
            parts.extend((message[copied : field.start], wire.bytes_field(field.number, edited)))
            copied = field.end
    if not copied:
        return message
    parts.append(message[copied:])
    return b"".join(parts)


def _value(message: bytes, number: int) -> bytes:
    return wire.value_bytes(message, wire.last(wire.scan(message), number))


def _number(message: bytes, number: int) -> int:
    return wire.value_int(wire.last(wire.scan(message), number))


def _member(message: bytes | None, number: int) -> bytes:
    return _value(message, number) if message is not None else b""


def _put_back_word(message: bytes, number: int, real: bytes | None, member: int) -> bytes:
    if real is None or _value(message, number) != PLACEHOLDER:
        return message
    word = _value(_member(real, member), number)
    return wire.replace_field(message, number, wire.bytes_field(number, word))


def _without(number: int) -> _Edit:
    return lambda message: wire.replace_field(message, number, b"")


def _with_placeholder(number: int) -> _Edit:
    return lambda message: (
        wire.replace_field(message, number, wire.bytes_field(number, PLACEHOLDER))
        if _value(message, number)
        else message
    )


def _inside(edits: Mapping[int, _Edit]) -> _Edit:
    return lambda message: _edit_members(message, edits)


def _redact_data(data: bytes) -> bytes:
    if wire.value_int(wire.last(wire.scan(data), _DATA_PORTNUM)) != admin.PORTNUM:
        return data
    return _edit_members(data, {_DATA_PAYLOAD: redact_admin})


_UI_CONFIG: Final = _without(_PIN_CODE)
_CONFIG: Final = _inside(
    {
        _NETWORK: _with_placeholder(_WIFI_PSK),
        _BLUETOOTH: _without(_FIXED_PIN),
        _SECURITY: _without(_PRIVATE_KEY),
        _DEVICE_UI: _UI_CONFIG,
    }
)
_MODULE_CONFIG: Final = _inside({_MQTT: _with_placeholder(_MQTT_PASSWORD)})
_IN_ADMIN: Final[Mapping[int, _Edit]] = {
    admin.GET_CONFIG_RESPONSE: _CONFIG,
    admin.GET_MODULE_CONFIG_RESPONSE: _MODULE_CONFIG,
    admin.GET_UI_CONFIG_RESPONSE: _UI_CONFIG,
}
_IN_FROM_RADIO: Final[Mapping[int, _Edit]] = {
    _FROM_RADIO_PACKET: _inside({_PACKET_DECODED: _redact_data}),
    _FROM_RADIO_CONFIG: _CONFIG,
    _FROM_RADIO_MODULE_CONFIG: _MODULE_CONFIG,
    _FROM_RADIO_UI_CONFIG: _UI_CONFIG,
}
_KEY_IN_FROM_RADIO: Final[Mapping[int, _Edit]] = {
    _FROM_RADIO_CONFIG: _inside({_SECURITY: _without(_PRIVATE_KEY)})
}
