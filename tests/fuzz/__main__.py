"""Fuzz for as long as one likes; see `scripts/fuzz`."""

import argparse
import random
import time

from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS

_ROUNDS = 20_000


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="for each target")
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    for name in arguments.target or TARGETS:
        target, seeds = TARGETS[name]
        seed, tried, until = arguments.seed, 0, time.monotonic() + arguments.seconds
        while time.monotonic() < until:
            kept, reached = fuzz(target, seeds(), rounds=_ROUNDS, seed=seed)
            tried += _ROUNDS
            print(f"{name}: seed {seed}, {tried} inputs, {kept} kept, {reached} places reached")
            seed += 1


if __name__ == "__main__":
    main()
