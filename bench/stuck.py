"""One client among ten that has stopped reading: what the others feel.

Run as a worker in a network of its own; `measure` starts one.
"""

import asyncio
from dataclasses import asdict
import socket
from typing import Any, Final

from . import packets
from .bed import Site, Subject, make_bed
from .figures import Report, Row, percentile
from .load import LoadClient, LoadError, arrive_together, connect
from .namespace import ETHERNET_MTU, enter_namespace
from .plan import Plan
from .worker import Worker, serve

SCENARIO: Final = "One client among ten has stopped reading"
_OTHERS: Final = 9
_RECEIVE_BUFFER: Final = 4096


async def measure(report: Report, plan: Plan, size: int) -> None:
    """Have it measured in a network of its own, for a Meshtastic mesh of so many nodes."""
    async with Worker("stuck") as worker:
        refused = await worker.ask("enter")
        if refused:
            report.notes.append(f"{SCENARIO}: left out, no network of its own: {refused}")
            return
        settings = asdict(plan)
        rows = await worker.ask("measure", settings=settings, size=size)
    report.rows += [Row(**row) for row in rows]


async def _enter() -> str:
    """Enter a network of its own; returns why that cannot be, or nothing."""
    try:
        enter_namespace()
    except OSError as err:
        return str(err)
    return ""


async def _measure(settings: dict[str, Any], size: int) -> list[dict[str, Any]]:
    plan = Plan(**settings)
    report = Report()
    async with make_bed() as bed:
        for is_stuck in (False, True):
            async with bed.site("meshtastic", size) as site:
                await _run(report, plan, site, is_stuck=is_stuck)
    return [asdict(row) for row in report.rows]


async def _run(report: Report, plan: Plan, site: Site, *, is_stuck: bool) -> None:
    found: dict[str, dict[str, float]] = {}
    for subject in site.servers:
        found[subject.name] = await _suffer(plan, site, subject, is_stuck=is_stuck)
    of = f"{'one stuck' if is_stuck else 'none stuck'}, MTU {ETHERNET_MTU}"
    units = {"delivered to the others": "%", "server's memory": "KiB more"}
    for metric in next(iter(found.values())):
        report.add(
            SCENARIO,
            of,
            metric,
            units.get(metric, "ms"),
            **{who: [figures[metric]] for who, figures in found.items()},
        )


async def _suffer(plan: Plan, site: Site, subject: Subject, *, is_stuck: bool) -> dict[str, float]:
    """Send long texts to nine clients, and to a tenth that asks for everything and reads nothing.

    Raises:
        LoadError: One of the nine missed something.
    """
    arrivals = await arrive_together(subject.port, subject.handshake, _OTHERS)
    others = [arrival.client for arrival in arrivals]
    tenth = await connect(subject.port)
    assert tenth.transport is not None
    if is_stuck:
        sock: socket.socket = tenth.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        tenth.transport.pause_reading()
    tenth.write(subject.handshake.dialect.steps[0].request)
    await asyncio.sleep(0.2)
    for client in others:
        client.forget()
    before = await subject.memory()
    size = await site.radios.ask(
        "feed",
        radios=[subject.radio],
        kind="text",
        count=plan.stuck_packets,
        pace=plan.stuck_pace,
        size=plan.stuck_text,
    )
    await asyncio.wait_for(asyncio.gather(*(client.expect(size) for client in others)), 10)
    more = (await subject.memory() - before) / 1024
    delays = _delays(others, plan.stuck_packets)
    for client in (*others, tenth):
        client.close()
    return {
        "delivered to the others": 100.0,
        "p50": percentile(delays, 0.5),
        "p95": percentile(delays, 0.95),
        "longest": max(delays),
        "server's memory": more,
    }


def _delays(clients: list[LoadClient], count: int) -> list[float]:
    every: list[float] = []
    for client in clients:
        delays = list(packets.delays(client.chunks))
        if len(delays) != count:
            raise LoadError(f"{len(delays)} of {count} packets arrived")
        every += [delay * 1e3 for delay in delays]
    return every


if __name__ == "__main__":
    asyncio.run(serve({"enter": _enter, "measure": _measure}))
