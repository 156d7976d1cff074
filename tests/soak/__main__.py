"""Live for a while and balance the accounts; see `scripts/soak`."""

import argparse
import asyncio
import logging
import time

from tests.soak.world import World, shorten_times


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--apps", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500, help="actions in an epoch")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print(f"seed {arguments.seed}")
    shorten_times()
    world = World(arguments.seed, arguments.apps)
    started = time.monotonic()
    asyncio.run(world.run(arguments.epochs, arguments.steps))
    print(f"{time.monotonic() - started:.0f} s; {dict(world.totals)}")
    print(f"actions: {dict(world.actions)}")
    print("every text that entered reached everyone, once and in order; nothing is left behind")


if __name__ == "__main__":
    main()
