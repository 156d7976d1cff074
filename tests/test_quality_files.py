"""The files that tell of the integration: its pictures, its matchers, its standing by the rules."""

import json
from pathlib import Path
import struct
from typing import Any, Final

from homeassistant.components.usb.models import USBDevice
from homeassistant.components.usb.utils import usb_device_matches_matcher
from homeassistant.loader import USBMatcher
from homeassistant.util.yaml import load_yaml_dict
import pytest

INTEGRATION: Final = Path(__file__).resolve().parent.parent / "custom_components" / "meshmonitor"
RULES: Final = 54
MATCHERS: Final[list[USBMatcher]] = json.loads((INTEGRATION / "manifest.json").read_text())["usb"]


@pytest.mark.parametrize(("name", "size"), [("icon.png", 256), ("icon@2x.png", 512)])
def test_pictures(name: str, size: int) -> None:
    """They are PNG files of the sizes that are asked for, and not large."""
    content = (INTEGRATION / "brand" / name).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (size, size)
    assert len(content) < 100_000


def test_quality_scale() -> None:
    """Every rule is met, or there is a reason why it does not apply."""
    rules: dict[str, Any] = load_yaml_dict(str(INTEGRATION / "quality_scale.yaml"))["rules"]
    assert len(rules) == RULES
    for name, rule in rules.items():
        status = rule if isinstance(rule, str) else rule["status"]
        assert status in {"done", "exempt"}, name
        if status == "exempt":
            assert rule["comment"], name


def board(vid: str, pid: str, description: str | None) -> USBDevice:
    """Return what the system says of a board that was plugged in."""
    return USBDevice(
        device="/dev/ttyACM0",
        vid=vid,
        pid=pid,
        serial_number="1",
        manufacturer="Somebody",
        description=description,
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (board("239A", "8029", "WisCore RAK4631 Board"), True),
        (board("239A", "4405", "TTGO_eink"), True),
        (board("239A", "4405", "HT-n5262"), True),
        (board("2886", "0057", "T1000-E-BOOT"), True),
        (board("2886", "1667", "TRACKER L1"), True),
        # Chips and boards that can be anything.
        (board("10C4", "EA60", "CP2102 USB to UART Bridge Controller"), False),
        (board("1A86", "7523", "USB Serial"), False),
        (board("1A86", "55D4", "USB Single Serial"), False),
        (board("303A", "1001", "USB JTAG/serial debug unit"), False),
        (board("239A", "8029", "Feather nRF52840 Express"), False),
        (board("239A", "8029", None), False),
    ],
)
def test_usb_matchers(device: USBDevice, expected: bool) -> None:
    """A board is offered by its own name, never by that of a chip that many things have."""
    matched = any(usb_device_matches_matcher(device, matcher) for matcher in MATCHERS)
    assert matched is expected
    assert all(set(matcher) == {"vid", "pid", "description"} for matcher in MATCHERS)
