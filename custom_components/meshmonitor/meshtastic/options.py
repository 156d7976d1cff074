"""What an owner can choose for a Meshtastic virtual node."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self, override

from ..mesh.virtual_node import VirtualNodeOptions

DEFAULT_RADIO_PORT: Final = 4403
DEFAULT_VIRTUAL_NODE_PORT: Final = 4404


class SharedPosition(StrEnum):
    """Whose phones may lend the radio their position."""

    ONE = "one"
    """One client at a time, so that several phones do not make the radio jump."""
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshtasticVirtualNodeOptions(VirtualNodeOptions):
    """How a Meshtastic virtual node serves."""

    port: int = DEFAULT_VIRTUAL_NODE_PORT
    shared_position: SharedPosition = SharedPosition.ONE
    hide_secrets: bool = True
    """Whether clients that may not administer get the configuration without its passwords."""
    announce: bool = True
    """Whether it is announced in the local network, where apps look for nodes."""

    @override
    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """Return the options that a config entry holds; a missing key means its default.

        Raises:
            ValueError: A network or a choice is none.
        """
        values = dict(options)
        if "shared_position" in values:
            values["shared_position"] = SharedPosition(values["shared_position"])
        return super(MeshtasticVirtualNodeOptions, cls).from_mapping(values)
