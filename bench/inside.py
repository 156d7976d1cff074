"""What the integration costs inside Home Assistant: its event loop, and the time of a setup."""

import asyncio
from collections import defaultdict
from typing import Any, Final

from .figures import Report
from .packets import KINDS
from .plan import Plan
from .worker import Worker

SCENARIO: Final = "Inside Home Assistant"
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "none a device": {"nodes": {"mode": "gateway"}},
    "all devices": {"nodes": {"mode": "all", "expire_days": 0}},
}
"""What is done with the nodes of the mesh: options of the entry by the name of the case."""
_LIMIT: Final = 20.0
"""Milliseconds for which the loop may be blocked."""


async def measure(report: Report, plan: Plan) -> None:
    """Set up an entry with many nodes and show it packets, for each way to treat the nodes."""
    async with Worker("radio") as radios:
        for variant, options in VARIANTS.items():
            async with Worker("home_assistant") as home:
                await _measure(report, plan, radios, home, variant, options)
            await radios.ask("close")


async def _measure(
    report: Report,
    plan: Plan,
    radios: Worker,
    home: Worker,
    variant: str,
    options: dict[str, Any],
) -> None:
    radio = await radios.ask("open", protocol="meshtastic", size=plan.inside_nodes)
    first = await home.ask("open", radio_port=radio["port"], options=options)
    counts = await home.ask("counts")
    case = f"{plan.inside_nodes} nodes, {variant}"
    for name, count in counts.items():
        report.add(SCENARIO, case, name, "", ours=[count])
    _add_setup(report, f"{case}, first setup", [first])
    for kind in KINDS:
        costs: list[float] = []
        blocks: list[float] = []
        culprits: defaultdict[float, str] = defaultdict(str)
        for _ in range(plan.inside_rounds):
            seen = await _show(plan, radios, home, radio["number"], kind)
            costs.append(seen["per_packet"] * 1e6)
            blocks.append(seen["longest"] * 1e3)
            culprits[blocks[-1]] = seen["culprit"]
        report.add(SCENARIO, case, f"event loop for a {kind}", "µs", ours=costs)
        report.add(SCENARIO, case, f"longest block amid {kind} packets", "ms", ours=blocks)
        _complain(report, f"{case}, {kind}", max(blocks), culprits[max(blocks)])
    again = [await home.ask("reload") for _ in range(plan.inside_rounds)]
    _add_setup(report, f"{case}, setup with all stored", again)


async def _show(plan: Plan, radios: Worker, home: Worker, radio: int, kind: str) -> dict[str, Any]:
    await radios.ask("prepare", radio=radio, kind=kind, count=plan.inside_packets)
    listening = asyncio.create_task(home.ask("listen", count=plan.inside_packets))
    await asyncio.sleep(0.2)
    await radios.ask("fire", radio=radio)
    seen: dict[str, Any] = await listening
    return seen


def _add_setup(report: Report, case: str, rounds: list[dict[str, Any]]) -> None:
    for key, name in (("setup", "setup"), ("setup_cpu", "CPU of the setup"), ("ready", "ready")):
        report.add(SCENARIO, case, name, "ms", ours=[one[key] * 1e3 for one in rounds])
    worst = max(rounds, key=lambda one: float(one["longest"]))
    blocks = [one["longest"] * 1e3 for one in rounds]
    report.add(SCENARIO, case, "longest block until ready", "ms", ours=blocks)
    _complain(report, case, worst["longest"] * 1e3, worst["culprit"])


def _complain(report: Report, case: str, block: float, culprit: str) -> None:
    if block > _LIMIT:
        report.notes.append(f"{case}: the loop was blocked for {block:.0f} ms by {culprit}")
