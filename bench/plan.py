"""How much is measured."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size of a run. All times are seconds."""

    mesh_sizes: tuple[int, ...]
    """Nodes that a Meshtastic radio knows, one site for each."""
    contacts: int
    """What a MeshCore radio knows."""
    crowds: tuple[int, ...]
    """Clients that connect at once."""
    rounds: int
    """How often everything is measured that takes less than a second."""
    audiences: tuple[int, ...]
    """Clients that listen."""
    latency_rounds: int
    latency_packets: int
    """Packets a round, at `pace`."""
    pace: float = 1 / 20
    """From one packet to the next."""
    burst: int
    """Packets that the radio writes in one go."""
    burst_rounds: int
    idle_clients: int
    """Whose memory is measured."""
    stuck_packets: int
    stuck_pace: float = 1 / 400
    stuck_text: int = 200
    """Bytes of each of the texts that a stuck client does not read."""
    inside_nodes: int
    """Nodes of the mesh that Home Assistant is shown."""
    inside_devices: tuple[int, ...]
    """How many of them are made devices, one case for each."""
    inside_senders: int
    """How many of them send the packets: always the same, whatever is a device beside them."""
    inside_rounds: int
    inside_packets: int
    """Packets of each kind that Home Assistant is shown."""


FULL: Final = Plan(
    mesh_sizes=(250, 1000),
    contacts=350,
    crowds=(1, 10, 50, 200),
    rounds=5,
    audiences=(10, 50),
    latency_rounds=3,
    latency_packets=60,
    burst=1000,
    burst_rounds=5,
    idle_clients=200,
    stuck_packets=5000,
    inside_nodes=1000,
    inside_devices=(0, 10, 100, 1000),
    inside_senders=10,
    inside_rounds=2,
    inside_packets=300,
)
SHORT: Final = Plan(
    mesh_sizes=(20,),
    contacts=10,
    crowds=(1, 3),
    rounds=1,
    audiences=(3,),
    latency_rounds=1,
    latency_packets=5,
    burst=30,
    burst_rounds=1,
    idle_clients=5,
    stuck_packets=40,
    inside_nodes=20,
    inside_devices=(0, 5),
    inside_senders=5,
    inside_rounds=1,
    inside_packets=20,
)
