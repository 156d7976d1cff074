"""What an owner can choose for a MeshCore virtual node."""

from dataclasses import dataclass
from typing import Final

from ..mesh.virtual_node import VirtualNodeOptions

DEFAULT_RADIO_PORT: Final = 5000
DEFAULT_VIRTUAL_NODE_PORT: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshCoreVirtualNodeOptions(VirtualNodeOptions):
    """How a MeshCore virtual node serves."""

    port: int = DEFAULT_VIRTUAL_NODE_PORT
    share_contacts: bool = False
    """Whether clients that may not administer may add, change and remove contacts."""
    allow_signing: bool = False
    """Whether clients may have the radio sign data with its identity."""
    raw_reception: bool = True
    """Whether clients are shown every packet that the radio hears."""
