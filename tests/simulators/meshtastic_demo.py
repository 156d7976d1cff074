"""A simulated Meshtastic mesh that talks, moves and measures by itself, for development.

Run it with `python -m tests.simulators.meshtastic_node --host HOST --port PORT --nodes N --seed S`.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
import math
import random
import signal
from typing import Final

from meshtastic.protobuf import mesh_pb2, telemetry_pb2

from .meshtastic_config import NodeConfig
from .meshtastic_mesh import Peer
from .meshtastic_node import SimulatedNode

PAUSE: Final = (1.0, 4.0)
"""Seconds between two things that happen, at least and at most."""
OWN_TELEMETRY_EVERY: Final = 15
"""Things that happen between two measurements of the node's own."""

PHRASES: Final = (
    "Good morning, mesh",
    "Anyone on the ridge?",
    "Clear skies here, 12 km to the tower",
    "New antenna is up, how do you hear me?",
    "Back in half an hour",
    "Signal is better from the roof",
    "Who is testing range today?",
    "73 and good night",
    "Café is open ☕",
)


class LivelyMesh:
    """Makes the peers of a node live."""

    def __init__(self, node: SimulatedNode, rng: random.Random) -> None:
        """Animate the peers of `node`, at random moments from `rng`."""
        self._node = node
        self._rng = rng
        self._said: list[int] = []
        for peer in node.mesh.peers.values():
            peer.echoes = True

    async def run(self) -> None:
        """Let things happen until cancelled."""
        habits: list[Callable[[Peer], Awaitable[object]]] = [
            self._move,
            self._move,
            self._measure_itself,
            self._measure_itself,
            self._measure_surroundings,
            self._talk,
            self._introduce,
        ]
        peers = list(self._node.mesh.peers.values())
        happened = 0
        while True:
            if peers:
                await self._rng.choice(habits)(self._rng.choice(peers))
            happened += 1
            self._node.state.metrics.uptime_seconds += round(sum(PAUSE) / 2)
            if happened % OWN_TELEMETRY_EVERY == 1:
                await self._node.send_own_telemetry()
            await asyncio.sleep(self._rng.uniform(*PAUSE))

    async def _move(self, peer: Peer) -> None:
        if peer.position is None:
            return
        heading, metres = self._rng.uniform(0, math.tau), self._rng.uniform(5, 120)
        moved = mesh_pb2.Position()
        moved.CopyFrom(peer.position)
        moved.latitude_i += round(metres * math.cos(heading) * 90)  # 1e-7 degrees: 1.1 cm.
        moved.longitude_i += round(metres * math.sin(heading) * 146)
        moved.time = self._node.now()
        moved.ground_speed = round(metres / 10)
        moved.ground_track = round(math.degrees(heading) * 1e5)
        await self._node.send_position(peer.num, moved)

    async def _measure_itself(self, peer: Peer) -> None:
        metrics = telemetry_pb2.DeviceMetrics()
        metrics.CopyFrom(peer.metrics)
        if metrics.battery_level <= 100:
            metrics.battery_level = max(metrics.battery_level - self._rng.randint(0, 1), 5)
            metrics.voltage = round(3.3 + 0.009 * metrics.battery_level, 2)
        metrics.uptime_seconds += 60
        metrics.channel_utilization = round(self._rng.uniform(1, 14), 2)
        measured = telemetry_pb2.Telemetry(time=self._node.now(), device_metrics=metrics)
        await self._node.send_telemetry(peer.num, measured)

    async def _measure_surroundings(self, peer: Peer) -> None:
        if peer.environment is None:
            return
        surroundings = telemetry_pb2.EnvironmentMetrics()
        surroundings.CopyFrom(peer.environment)
        surroundings.temperature = round(surroundings.temperature + self._rng.gauss(0, 0.3), 1)
        surroundings.barometric_pressure += round(self._rng.gauss(0, 0.2), 1)
        measured = telemetry_pb2.Telemetry(time=self._node.now(), environment_metrics=surroundings)
        await self._node.send_telemetry(peer.num, measured)

    async def _talk(self, peer: Peer) -> None:
        answer = self._said[-1] if self._said and self._rng.random() < 0.3 else 0
        if answer and self._rng.random() < 0.5:
            await self._node.say(peer.num, "👍", reply_id=answer, reaction=True)
            return
        text = self._rng.choice(PHRASES)
        self._said = [await self._node.say(peer.num, text, reply_id=answer)]

    async def _introduce(self, peer: Peer) -> None:
        await self._node.send_node_info(peer.num)


async def serve(host: str, port: int, nodes: int, seed: int) -> None:
    """Serve a lively mesh until the process is asked to end.

    Raises `OSError` when the port cannot be had.
    """
    config = NodeConfig(
        nodes=nodes, seed=seed, ack_delay=0.4, really_reboots=True, reboot_down_for=2.0
    )
    node = SimulatedNode(config)
    await node.start(host, port)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    print(
        f"Simulated Meshtastic node {node.state.user.id} with {nodes} nodes"
        f" listening on {host}:{node.port}",
        flush=True,
    )
    life = asyncio.create_task(LivelyMesh(node, random.Random(seed)).run())
    await asyncio.wait(
        (life, asyncio.create_task(ended.wait())), return_when=asyncio.FIRST_COMPLETED
    )
    if life.done():
        await life  # It never ends by itself: this raises what ended it.
    life.cancel()
    await node.stop()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A simulated Meshtastic node and its mesh.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4403, help="TCP port, 0 for a free one")
    parser.add_argument("--nodes", type=int, default=12, help="nodes in the mesh, its own included")
    parser.add_argument("--seed", type=int, default=1, help="makes the same mesh each time")
    asked = parser.parse_args()
    asyncio.run(serve(asked.host, asked.port, asked.nodes, asked.seed))
