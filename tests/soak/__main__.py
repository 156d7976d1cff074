"""Live for a while and balance the accounts; see `scripts/soak`."""

import argparse
import asyncio
import logging
import time
from typing import Final

from .meshcore_world import MeshCoreWorld
from .meshtastic_world import MeshtasticWorld

_WORLDS: Final[dict[str, type[MeshCoreWorld | MeshtasticWorld]]] = {
    "meshtastic": MeshtasticWorld,
    "meshcore": MeshCoreWorld,
}


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=_WORLDS, help="of the radio; both if not given")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--apps", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500, help="actions in an epoch")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print(f"seed {arguments.seed}")
    for protocol, kind in _WORLDS.items():
        if arguments.protocol not in (protocol, None):
            continue
        undo = kind.shorten_times()
        world = kind(arguments.seed, arguments.apps)
        started = time.monotonic()
        asyncio.run(world.run(arguments.epochs, arguments.steps))
        undo()
        print(f"{protocol}: {time.monotonic() - started:.0f} s; {dict(world.totals)}")
        print(f"actions: {dict(world.actions)}")
    print("every text that entered reached everyone, once and in order; nothing is left behind")


if __name__ == "__main__":
    main()
