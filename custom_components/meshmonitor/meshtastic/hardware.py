"""The names of boards, as people know them: ``HELTEC_V3`` is a Heltec V3."""

from functools import cache
import re
from typing import Final

_SPELLINGS: Final = {
    "ANDROID_SIM": "Android Simulator",
    "BETAFPV": "BetaFPV",
    "BPF": "BPF",
    "CANARYONE": "Canary One",
    "CDEBYTE": "EBYTE",
    "CORE2": "Core2",
    "COREBASIC": "Core Basic",
    "CORES3": "CoreS3",
    "CROWPANEL": "CrowPanel",
    "DIY": "DIY",
    "DR_DEV": "DR-DEV",
    "EBYTE": "EBYTE",
    "EINK": "E-Ink",
    "EORA_S3": "EoRa-S3",
    "EPAPER": "E-Paper",
    "GENIEBLOCKS": "GenieBlocks",
    "HRU": "HRU",
    "LILYGO": "LILYGO",
    "LORA": "LoRa",
    "LORAC": "LoRaC",
    "M5STACK": "M5Stack",
    "MESHLINK": "MeshLink",
    "MUZI": "muzi",
    "NOMADSTAR": "NomadStar",
    "NRF52": "nRF52",
    "NRF52840": "nRF52840",
    "PICO2": "Pico 2",
    "PICOMPUTER": "Pi Computer",
    "PPR": "PPR",
    "PRIVATE_HW": "Private Hardware",
    "PROMICRO": "Pro Micro",
    "RADIOMASTER": "RadioMaster",
    "RPI": "Raspberry Pi",
    "SENSECAP": "SenseCAP",
    "SENSELORA": "SenseLoRa",
    "T1000_E": "T1000-E",
    "T3_S3": "T3-S3",
    "TBEAM": "T-Beam",
    "TD": "TD",
    "TDISPLAY": "T-Display",
    "THINKNODE": "ThinkNode",
    "TLORA": "T-LoRa",
    "TWC": "TWC",
    "TX": "TX",
    "T_DECK": "T-Deck",
    "T_ECHO": "T-Echo",
    "T_ETH": "T-ETH",
    "T_IMPULSE": "T-Impulse",
    "T_LORA": "T-LoRa",
    "T_WATCH": "T-Watch",
    "UNPHONE": "unPhone",
    "WIPHONE": "WiPhone",
    "WISMESH": "WisMesh",
    "WSL": "Wireless Stick Lite",
    "XIAO": "XIAO",
}
"""How makers spell what is no plain word, and no model number either (those have a digit)."""
_POINT: Final = re.compile(r"(?<=V\d)_(?=\d(?:_|$))|(?<=\d)P(?=\d(?:_|$))")
"""What stands for a point in the number of a version: ``V2_0``, ``V0P7``."""
_WORD: Final = re.compile(
    "|".join(
        rf"{spelling}(?=_|$)"
        for spelling in sorted(_SPELLINGS, key=lambda word: (-len(word), word))
    )
    + r"|[^_]+"
)


@cache
def board_name(member: str) -> str:
    """Return what people call a board.

    Args:
        member: Its name in ``HardwareModel`` (Meshtastic's ``mesh.proto``).
    """
    return " ".join(_spelled(word) for word in _WORD.findall(_POINT.sub(".", member)))


def _spelled(word: str) -> str:
    if word in _SPELLINGS:
        return _SPELLINGS[word]
    return word if any(character.isdigit() for character in word) else word.capitalize()
