"""Secrets on their way out to clients, and on their way back."""

from pathlib import Path
from typing import Final

from hypothesis import given, strategies as st
from meshtastic.protobuf import admin_pb2, config_pb2, device_ui_pb2, mesh_pb2, module_config_pb2
import pytest

from custom_components.meshmonitor.meshtastic import wire
from custom_components.meshmonitor.meshtastic.redaction import (
    redact,
    redact_admin,
    restore,
    without_private_key,
)
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

from .phone import PORT
from .view import RecordedView

KEY: Final = bytes(range(100, 132))
PUBLIC: Final = bytes(range(32))
SECRETS: Final = (
    KEY,
    b"wifi word",
    b"mqtt word",
    wire.varint_field(3, 123456),
    wire.varint_field(6, 765432),
)

NETWORK: Final = config_pb2.Config(
    network=config_pb2.Config.NetworkConfig(
        wifi_enabled=True, wifi_ssid="home", wifi_psk="wifi word", ntp_server="ntp"
    )
)
BLUETOOTH: Final = config_pb2.Config(
    bluetooth=config_pb2.Config.BluetoothConfig(
        enabled=True, mode=config_pb2.Config.BluetoothConfig.FIXED_PIN, fixed_pin=123456
    )
)
SECURITY: Final = config_pb2.Config(
    security=config_pb2.Config.SecurityConfig(
        public_key=PUBLIC, private_key=KEY, admin_key=[b"a" * 32, b"b" * 32], serial_enabled=True
    )
)
DISPLAY: Final = device_ui_pb2.DeviceUIConfig(
    screen_brightness=153, screen_lock=True, pin_code=765432, ring_tone_id=0
)
MQTT: Final = module_config_pb2.ModuleConfig(
    mqtt=module_config_pb2.ModuleConfig.MQTTConfig(
        enabled=True, address="broker", username="user", password="mqtt word", root="msh"
    )
)

HIDDEN_NETWORK: Final = config_pb2.Config.FromString(NETWORK.SerializeToString())
HIDDEN_NETWORK.network.wifi_psk = "sekrit"
HIDDEN_BLUETOOTH: Final = config_pb2.Config.FromString(BLUETOOTH.SerializeToString())
HIDDEN_BLUETOOTH.bluetooth.ClearField("fixed_pin")
HIDDEN_SECURITY: Final = config_pb2.Config.FromString(SECURITY.SerializeToString())
HIDDEN_SECURITY.security.ClearField("private_key")
HIDDEN_MQTT: Final = module_config_pb2.ModuleConfig.FromString(MQTT.SerializeToString())
HIDDEN_MQTT.mqtt.password = "sekrit"
HIDDEN_DISPLAY: Final = device_ui_pb2.DeviceUIConfig.FromString(DISPLAY.SerializeToString())
HIDDEN_DISPLAY.ClearField("pin_code")

CONFIGS: Final = [
    pytest.param(NETWORK, HIDDEN_NETWORK, id="network"),
    pytest.param(BLUETOOTH, HIDDEN_BLUETOOTH, id="bluetooth"),
    pytest.param(SECURITY, HIDDEN_SECURITY, id="security"),
    pytest.param(MQTT, HIDDEN_MQTT, id="mqtt"),
    pytest.param(DISPLAY, HIDDEN_DISPLAY, id="display"),
]
type Setting = config_pb2.Config | module_config_pb2.ModuleConfig | device_ui_pb2.DeviceUIConfig


def number_of(setting: Setting, config: int, module_config: int, display: int) -> int:
    """Return the number that belongs to this kind of setting."""
    match setting:
        case config_pb2.Config():
            return config
        case module_config_pb2.ModuleConfig():
            return module_config
    return display


def in_dump(setting: Setting) -> bytes:
    """Return the frame in which a radio tells a setting in its dump."""
    return wire.bytes_field(number_of(setting, 5, 9, 17), setting.SerializeToString())


def in_answer(setting: Setting) -> bytes:
    """Return the admin message in which a radio answers a question for a setting."""
    return wire.bytes_field(number_of(setting, 6, 8, 45), setting.SerializeToString())


def in_command(setting: Setting) -> bytes:
    """Return the admin message with which a client changes a setting."""
    return wire.bytes_field(number_of(setting, 34, 35, 46), setting.SerializeToString())


def answer_frame(payload: bytes, portnum: int = PORT.ADMIN_APP) -> bytes:
    """Return the frame of an answer, with fields that are newer than the schema."""
    data = (
        wire.varint_field(1, portnum)
        + wire.bytes_field(2, payload)
        + wire.bytes_field(90, b"newer")
    )
    packet = wire.fixed32_field(1, 7) + wire.bytes_field(4, data) + wire.varint_field(12, 0)
    return wire.varint_field(1, 0) + wire.bytes_field(2, packet)


@pytest.fixture
def view() -> RecordedView:
    """Return a radio with all five secrets."""
    view = RecordedView()
    view.configs = {
        4: NETWORK.SerializeToString(),
        7: BLUETOOTH.SerializeToString(),
        8: SECURITY.SerializeToString(),
    }
    view.module_configs = {1: MQTT.SerializeToString()}
    view.ui = DISPLAY.SerializeToString()
    return view


@pytest.mark.parametrize(("setting", "hidden"), CONFIGS)
def test_dump_is_redacted(setting: Setting, hidden: Setting) -> None:
    """A setting in the dump loses its secret, and nothing else."""
    assert redact(in_dump(setting)) == in_dump(hidden)


@pytest.mark.parametrize(("setting", "hidden"), CONFIGS)
def test_answer_is_redacted(setting: Setting, hidden: Setting) -> None:
    """The answer to a question loses it too, alone or in the packet that brings it."""
    passkey = wire.bytes_field(101, b"12345678")
    assert redact_admin(in_answer(setting) + passkey) == in_answer(hidden) + passkey
    assert redact(answer_frame(in_answer(setting) + passkey)) == answer_frame(
        in_answer(hidden) + passkey
    )


@pytest.mark.parametrize(("setting", "hidden"), CONFIGS)
def test_redacting_twice(setting: Setting, hidden: Setting) -> None:
    """There is nothing left to hide."""
    assert redact(in_dump(hidden)) == in_dump(hidden)
    assert redact(redact(in_dump(setting))) == in_dump(hidden)


def test_only_admin_packets_are_opened() -> None:
    """What looks like a setting in a text is a text."""
    frame = answer_frame(in_answer(SECURITY), PORT.TEXT_MESSAGE_APP)
    assert redact(frame) is frame


def test_empty_secrets_stay_empty() -> None:
    """An absent or empty word gets no placeholder: apps would show one that is not there."""
    network = config_pb2.Config(network=config_pb2.Config.NetworkConfig(wifi_enabled=True))
    assert redact(in_dump(network)) == in_dump(network)
    explicit = wire.bytes_field(5, wire.bytes_field(4, wire.bytes_field(4, b"")))
    assert redact(explicit) == explicit


def test_nothing_else_is_touched() -> None:
    """Explicit zeros, newer fields, odd order and bytes that are no text stay as they are."""
    security = (
        wire.bytes_field(77, b"newer")
        + wire.varint_field(5, 0)
        + wire.bytes_field(2, KEY)
        + wire.bytes_field(1, PUBLIC)
    )
    before, behind = wire.varint_field(90, 0), wire.bytes_field(91, b"\xff\xfe")
    frame = wire.bytes_field(5, before + wire.bytes_field(8, security) + behind)
    kept = wire.replace_field(security, 2, b"")
    assert redact(frame) == wire.bytes_field(5, before + wire.bytes_field(8, kept) + behind)


def test_secret_that_stands_twice() -> None:
    """Every occurrence of a secret goes, also one that a parser would not take."""
    network = wire.bytes_field(4, b"wifi word") + wire.bytes_field(4, b"other word")
    config = wire.bytes_field(4, network) * 2
    redacted = redact(wire.bytes_field(5, config) * 2)
    assert b"word" not in redacted
    assert redacted.count(b"sekrit") == 4


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x2a\x05abc", id="frame"),
        pytest.param(wire.bytes_field(5, b"\x42\x7f"), id="config"),
        pytest.param(wire.bytes_field(5, wire.bytes_field(8, b"\x12\x7f")), id="security"),
        pytest.param(answer_frame(b"\x32\x7f"), id="answer"),
    ],
)
def test_damaged_frames(frame: bytes) -> None:
    """What cannot be searched is not handed on as clean."""
    with pytest.raises(wire.WireError):
        redact(frame)


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
def test_recorded_radio(path: Path) -> None:
    """Of all that a real radio said, only the frames with its private key change."""
    view = RecordedView.recorded(path)
    key = config_pb2.Config.FromString(view.configs[8]).security.private_key
    assert len(key) == 32
    frames = [
        entry.data
        for entry in read_recording(path)
        if entry.sender == "node" and entry.kind == "frame"
    ]
    with_secret = [frame for frame in frames if b"large4cats" in frame or key in frame]
    assert len(with_secret) > 4
    for frame in frames:
        redacted = redact(frame)
        assert (redacted != frame) == (frame in with_secret or b"\x18\xc0\xc4\x07" in frame)
        assert key not in redacted
        assert b"large4cats" not in redacted
        assert key not in without_private_key(frame)


def test_stored_without_private_key() -> None:
    """What is written to disk keeps all but the key."""
    for setting in (NETWORK, BLUETOOTH, MQTT, DISPLAY):
        frame = in_dump(setting)
        assert without_private_key(frame) is frame
    assert without_private_key(in_dump(SECURITY)) == in_dump(HIDDEN_SECURITY)


def canonical(payload: bytes) -> admin_pb2.AdminMessage:
    """Return a command as the radio reads it."""
    return admin_pb2.AdminMessage.FromString(payload)


@pytest.mark.parametrize(("setting", "hidden"), CONFIGS)
def test_there_and_back(setting: Setting, hidden: Setting, view: RecordedView) -> None:
    """A client that saves what it was shown changes nothing."""
    restored = restore(in_command(hidden), view)
    assert canonical(restored) == canonical(in_command(setting))


@pytest.mark.parametrize(("setting", "hidden"), CONFIGS)
def test_new_values_pass(setting: Setting, hidden: Setting, view: RecordedView) -> None:
    """A client that saw the secret, or sets a new one, sets what it sends."""
    command = in_command(setting)
    assert restore(command, view) == command
    for new in (
        config_pb2.Config(network=config_pb2.Config.NetworkConfig(wifi_psk="new word")),
        config_pb2.Config(network=config_pb2.Config.NetworkConfig(wifi_psk="")),
        config_pb2.Config(security=config_pb2.Config.SecurityConfig(private_key=b"n" * 32)),
        config_pb2.Config(bluetooth=config_pb2.Config.BluetoothConfig(fixed_pin=654321)),
        module_config_pb2.ModuleConfig(
            mqtt=module_config_pb2.ModuleConfig.MQTTConfig(password="new word")
        ),
        device_ui_pb2.DeviceUIConfig(settings_lock=True, pin_code=111111),
        # Without a lock there is no PIN to keep.
        device_ui_pb2.DeviceUIConfig(screen_brightness=1),
    ):
        assert restore(in_command(new), view) == in_command(new)


@pytest.mark.parametrize(("setting", "hidden"), CONFIGS)
def test_nothing_known_to_restore(setting: Setting, hidden: Setting) -> None:
    """Without the real value the command stays, for the firmware to understand."""
    command = in_command(hidden)
    assert restore(command, RecordedView()) == command


def test_word_that_was_never_set(view: RecordedView) -> None:
    """The placeholder for a word that is empty is the empty word."""
    view.configs[4] = config_pb2.Config(
        network=config_pb2.Config.NetworkConfig(wifi_enabled=True)
    ).SerializeToString()
    restored = canonical(restore(in_command(HIDDEN_NETWORK), view))
    assert restored.set_config.network.wifi_psk == ""
    assert restored.set_config.network.wifi_ssid == "home"


def test_only_settings_are_filled(view: RecordedView) -> None:
    """The placeholder elsewhere, and other messages, stay as they are."""
    text = admin_pb2.AdminMessage(set_ringtone_message="sekrit").SerializeToString()
    ssid = config_pb2.Config(
        network=config_pb2.Config.NetworkConfig(wifi_ssid="sekrit", wifi_psk="sekrit!")
    )
    lora = config_pb2.Config(lora=config_pb2.Config.LoRaConfig(hop_limit=4))
    for command in (text, in_command(ssid), in_command(lora), in_answer(HIDDEN_SECURITY), b""):
        assert restore(command, view) == command


def test_newer_fields_survive_restoring(view: RecordedView) -> None:
    """Only the gap is filled; what this program does not know is set as it was sent."""
    newer = wire.bytes_field(77, b"newer") + wire.varint_field(9, 0)
    network = wire.varint_field(1, 1) + wire.bytes_field(4, b"sekrit") + newer
    passkey = wire.bytes_field(101, b"12345678")
    command = wire.bytes_field(34, wire.bytes_field(4, network)) + passkey
    expected = wire.varint_field(1, 1) + wire.bytes_field(4, b"wifi word") + newer
    assert restore(command, view) == wire.bytes_field(34, wire.bytes_field(4, expected)) + passkey


def test_too_long_to_restore(view: RecordedView) -> None:
    """What would not fit a packet any more is left to the firmware, which knows the word."""
    full = module_config_pb2.ModuleConfig.FromString(MQTT.SerializeToString())
    full.mqtt.password = "p" * 63
    view.module_configs[1] = full.SerializeToString()
    hidden = module_config_pb2.ModuleConfig.FromString(MQTT.SerializeToString())
    hidden.mqtt.password = "sekrit"
    hidden.mqtt.address = "a" * 63
    hidden.mqtt.username = "u" * 63
    hidden.mqtt.root = "r" * 31
    command = in_command(hidden)
    assert len(command) <= 233
    assert restore(command, view) == command


RECORDED: Final = RecordedView.recorded()


@given(
    st.binary(max_size=233)
    | st.binary(max_size=100).map(lambda config: wire.bytes_field(34, config))
    | st.binary(max_size=100).map(lambda net: wire.bytes_field(34, wire.bytes_field(8, net)))
)
def test_any_command(payload: bytes) -> None:
    """No bytes upset the restoring; it changes commands that set something, and keeps the limit."""
    restored = restore(payload, RECORDED)
    assert len(restored) <= 233
    if restored != payload:
        assert {field.number for field in wire.scan(payload)} & {34, 35, 46}


@given(st.binary(max_size=300))
def test_any_frame(payload: bytes) -> None:
    """Any bytes are redacted or refused, and hold no private key afterwards."""
    for frame in (payload, wire.bytes_field(5, payload), answer_frame(payload)):
        try:
            redacted = redact(frame)
        except wire.WireError:
            continue
        if frame.startswith(b"\x2a"):
            for field in wire.scan(redacted):
                config = wire.value_bytes(redacted, field)
                security = wire.value_bytes(config, wire.last(wire.scan(config), 8))
                assert wire.last(wire.scan(security), 2) is None


def test_all_secrets_are_gone() -> None:
    """None of the five is in any frame of a redacted dump."""
    frames = [in_dump(setting) for setting in (NETWORK, BLUETOOTH, SECURITY, MQTT, DISPLAY)]
    before = b"".join(frames)
    after = b"".join(map(redact, frames))
    assert all(secret in before for secret in SECRETS)
    assert not any(secret in after for secret in SECRETS)
    assert mesh_pb2.FromRadio.FromString(redact(in_dump(SECURITY))).config.security.admin_key
