"""The command: runs the scenarios, prints a table, writes JSON."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import platform
import sys
import time
from typing import Any, Final

from . import burst, inside, latency, memory, replay, stuck
from .bed import make_bed
from .figures import Report
from .plan import FULL, SHORT, Plan


async def run(plan: Plan, chosen: Collection[str]) -> Report:
    """Measure what is chosen of all that there is, by a plan."""
    report = Report()
    for name in chosen:
        await SCENARIOS[name](report, plan)
    return report


async def _meshtastic(report: Report, plan: Plan) -> None:
    async with make_bed() as bed:
        for size in plan.mesh_sizes:
            async with bed.site("meshtastic", size) as site:
                case = f"Meshtastic, {size} nodes"
                if size == plan.mesh_sizes[0]:
                    # First of all: a process that was busy has memory to spare.
                    await memory.measure(report, plan, site, case)
                await replay.measure(report, plan, site, case)
                if size == plan.mesh_sizes[-1]:
                    await latency.measure(report, plan, site, case)
                await burst.measure(report, plan, site, case)
                await burst.measure_alone(report, plan, site, case)


async def _meshcore(report: Report, plan: Plan) -> None:
    async with make_bed() as bed, bed.site("meshcore", plan.contacts) as site:
        case = f"MeshCore, {plan.contacts} contacts"
        await memory.measure(report, plan, site, case)
        await replay.measure(report, plan, site, case)
        await latency.measure(report, plan, site, case)
        await burst.measure(report, plan, site, case)


async def _stuck(report: Report, plan: Plan) -> None:
    await stuck.measure(report, plan, plan.mesh_sizes[0])


SCENARIOS: Final[Mapping[str, Callable[[Report, Plan], Awaitable[None]]]] = {
    "meshtastic": _meshtastic,
    "meshcore": _meshcore,
    "stuck": _stuck,
    "inside": inside.measure,
}


def machine() -> dict[str, Any]:
    """Return where this was measured, and what else was going on there."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few seconds, for correctness only")
    parser.add_argument(
        "--only", action="append", choices=SCENARIOS, metavar="PART", help=", ".join(SCENARIOS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    options = parser.parse_args()
    begun = time.monotonic()
    where = machine()
    report = asyncio.run(run(SHORT if options.short else FULL, options.only or SCENARIOS))
    seconds = round(time.monotonic() - begun, 1)
    print(report.table())
    print(f"\n{where}\n{seconds} s")
    if options.json is not None:
        found = {"machine": where, "seconds": seconds, **report.as_dict()}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
