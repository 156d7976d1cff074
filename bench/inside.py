"""What the integration costs inside Home Assistant: its event loop, and the time of a setup."""

import asyncio
from typing import Any, Final

from .figures import Report
from .packets import KINDS
from .plan import Plan
from .worker import Worker

SCENARIO: Final = "Inside Home Assistant"
_LIMIT: Final = 20.0
"""Milliseconds for which the loop may be blocked."""


async def measure(report: Report, plan: Plan) -> None:
    """Set up an entry with many nodes and show it packets, for each number of devices."""
    async with Worker("radio") as radios:
        for devices in plan.inside_devices:
            async with Worker("home_assistant") as home:
                await _measure(report, plan, radios, home, devices)
            await radios.ask("close")


async def _measure(report: Report, plan: Plan, radios: Worker, home: Worker, devices: int) -> None:
    radio = await radios.ask("open", protocol="meshtastic", size=plan.inside_nodes)
    picked = await radios.ask("nodes", radio=radio["number"], count=devices)
    nodes = {"mode": "favorites" if picked else "gateway", "picked": picked, "expire_days": 0}
    first = await home.ask("open", radio_port=radio["port"], options={"nodes": nodes})
    counts = await home.ask("counts")
    case = f"{plan.inside_nodes} nodes, {len(picked) or 'none'} as devices"
    for name, count in counts.items():
        report.add(SCENARIO, case, name, "", ours=[count])
    _add_setup(report, f"{case}, first setup", [first])
    for kind in KINDS:
        rounds = [
            await _show(plan, radios, home, radio["number"], kind)
            for _ in range(plan.inside_rounds)
        ]

        def add(name: str, unit: str, key: str, factor: float = 1.0) -> None:
            report.add(SCENARIO, case, name, unit, ours=[one[key] * factor for one in rounds])  # noqa: B023

        add(f"event loop for a {kind}", "µs", "per_packet", 1e6)
        add(f"states changed by a {kind}", "", "changed")
        add(f"states written unchanged by a {kind}", "", "unchanged")
        add(f"longest block amid {kind} packets", "ms", "longest", 1e3)
        _complain(report, f"{case}, {kind}", rounds)
    again = [await home.ask("reload") for _ in range(plan.inside_rounds)]
    _add_setup(report, f"{case}, setup with all stored", again)
    unloads = [one["unload"] for one in again]
    case = f"{case}, unload"
    report.add(SCENARIO, case, "unload", "ms", ours=[one["seconds"] * 1e3 for one in unloads])
    _add_blocks(report, case, "longest block", unloads)


async def _show(plan: Plan, radios: Worker, home: Worker, radio: int, kind: str) -> dict[str, Any]:
    await radios.ask(
        "prepare",
        radio=radio,
        kind=kind,
        count=plan.inside_packets,
        senders=plan.inside_senders,
    )
    listening = asyncio.create_task(home.ask("listen", count=plan.inside_packets))
    await asyncio.sleep(0.2)
    await radios.ask("fire", radio=radio)
    seen: dict[str, Any] = await listening
    return seen


def _add_setup(report: Report, case: str, rounds: list[dict[str, Any]]) -> None:
    for key, name in (("setup", "setup"), ("setup_cpu", "CPU of the setup"), ("ready", "ready")):
        report.add(SCENARIO, case, name, "ms", ours=[one[key] * 1e3 for one in rounds])
    _add_blocks(report, case, "longest block until ready", rounds)


def _add_blocks(report: Report, case: str, name: str, rounds: list[dict[str, Any]]) -> None:
    blocks = [one["longest"] * 1e3 for one in rounds]
    report.add(SCENARIO, case, name, "ms", ours=blocks)
    collections = [one["collection"] * 1e3 for one in rounds]
    report.add(SCENARIO, case, "longest run of the garbage collector", "ms", ours=collections)
    _complain(report, case, rounds)


def _complain(report: Report, case: str, rounds: list[dict[str, Any]]) -> None:
    worst = max(rounds, key=lambda one: float(one["longest"]))
    block = worst["longest"] * 1e3
    if block > _LIMIT:
        culprit = worst["culprit"]
        report.notes.append(f"{case}: the loop was blocked for {block:.0f} ms, by {culprit}")
