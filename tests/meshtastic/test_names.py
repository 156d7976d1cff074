"""Names for the protocol's numbers, both ways."""

from meshtastic.protobuf import config_pb2
import pytest

from custom_components.meshmonitor.meshtastic import names


@pytest.mark.parametrize(
    ("num", "text"), [(0, "!00000000"), (0x0A000001, "!0a000001"), (0xFFFFFFFF, "!ffffffff")]
)
def test_node_ids(num: int, text: str) -> None:
    """As all apps write them."""
    assert names.node_id(num) == text
    assert names.node_num(text) == num
    assert names.node_num(text.upper()) == num


@pytest.mark.parametrize(("num", "text"), [(0, "00000000"), (0x53D6B87E, "53d6b87e")])
def test_message_ids(num: int, text: str) -> None:
    """Eight hexadecimal digits."""
    assert names.packet_id_to_message_id(num) == text
    assert names.message_id_to_packet_id(text) == num


@pytest.mark.parametrize("text", ["", "53d6b87", "53d6b87e0", "0x53d6b8", " 53d6b87", "+3d6b87e"])
def test_what_is_no_id(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError):
        names.message_id_to_packet_id(text)
    with pytest.raises(ValueError):
        names.node_num(f"!{text}")


@pytest.mark.parametrize("text", ["0a000001", "", "^all", "!", "!0a00_001"])
def test_what_is_no_node_id(text: str) -> None:
    """A number alone is none."""
    with pytest.raises(ValueError):
        names.node_num(text)


def test_presets() -> None:
    """Every preset of the schema has the spelling that the firmware shows."""
    values = config_pb2.Config.LoRaConfig.ModemPreset.values()
    assert len({names.preset_name(value) for value in values}) == len(values)
    assert names.preset_name(config_pb2.Config.LoRaConfig.LONG_FAST) == "LongFast"
    assert names.preset_name(config_pb2.Config.LoRaConfig.MEDIUM_SLOW) == "MediumSlow"
    assert names.preset_name(config_pb2.Config.LoRaConfig.LONG_MODERATE) == "LongMod"
    assert names.preset_name(99) == "Preset 99"


def test_members_of_enumerations() -> None:
    """In lower case; what is too new keeps its number."""
    assert names.hardware_name(43) == "Heltec V3"
    assert names.hardware_name(54321) == "54321"
    assert names.role_name(0) == "client"
    assert names.role_name(11) == "router_late"
    assert names.role_name(99) == "99"
    assert names.routing_error_name(33) == "not_authorized"
    assert names.routing_error_name(99) == "99"
