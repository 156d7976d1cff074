"""Boards are called as people call them."""

from typing import Final

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic.hardware import board_name

MEMBERS: Final = [value.name for value in mesh_pb2.HardwareModel.DESCRIPTOR.values]


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("HELTEC_V2_0", "Heltec V2.0"),
        ("HELTEC_V3", "Heltec V3"),
        ("HELTEC_V4_R8", "Heltec V4 R8"),
        ("HELTEC_WSL_V3", "Heltec Wireless Stick Lite V3"),
        ("HELTEC_MESH_NODE_T114", "Heltec Mesh Node T114"),
        ("LILYGO_TBEAM_S3_CORE", "LILYGO T-Beam S3 Core"),
        ("M5STACK_CORE2", "M5Stack Core2"),
        ("NANO_G2_ULTRA", "Nano G2 Ultra"),
        ("NRF52_PROMICRO_DIY", "nRF52 Pro Micro DIY"),
        ("PRIVATE_HW", "Private Hardware"),
        ("RAK4631", "RAK4631"),
        ("RPI_PICO", "Raspberry Pi Pico"),
        ("SEEED_WIO_TRACKER_L1_EINK", "Seeed Wio Tracker L1 E-Ink"),
        ("SENSECAP_INDICATOR", "SenseCAP Indicator"),
        ("STATION_G2", "Station G2"),
        ("TBEAM", "T-Beam"),
        ("TBEAM_V0P7", "T-Beam V0.7"),
        ("TLORA_V2_1_1P6", "T-LoRa V2.1 1.6"),
        ("TRACKER_T1000_E", "Tracker T1000-E"),
        ("T_DECK_PRO", "T-Deck Pro"),
        ("T_ECHO", "T-Echo"),
        # Newer than the table.
        ("ACME_ROADRUNNER_X9", "Acme Roadrunner X9"),
    ],
)
def test_board_name(member: str, name: str) -> None:
    """Makers' own spellings, model numbers in capitals, and versions with a point."""
    assert board_name(member) == name


def test_every_board_is_readable() -> None:
    """No name looks like a constant, and no two boards share one: nothing is lost."""
    names = [board_name(member) for member in MEMBERS]
    assert not [name for name in names if "_" in name]
    assert len(set(names)) == len(MEMBERS)
