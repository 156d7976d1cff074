"""How long a packet is on its way, at a pace that a busy mesh has: to clients, and from them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
import time

from . import packets
from .bed import Audience, Site, Subject, audience
from .figures import Report, percentile
from .load import LoadError
from .plan import Plan

TO_CLIENTS = "Latency, radio to clients"
TO_RADIO = "Latency, client to radio"
_PARTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


async def measure(report: Report, plan: Plan, site: Site, case: str) -> None:
    """Measure both ways, for each number of listeners."""
    for size in plan.audiences:
        of = f"{case}, {size} clients"
        async with audience(site, size) as clients:
            await _to_clients(report, plan, site, clients, of)
            await _to_radio(report, plan, site, clients, of)


async def _to_clients(report: Report, plan: Plan, site: Site, clients: Audience, of: str) -> None:
    """Send from all radios in turn, so that all subjects meet the same machine."""
    found: dict[str, defaultdict[str, list[float]]] = {part: defaultdict(list) for part in _PARTS}
    for _ in range(plan.latency_rounds):
        await asyncio.sleep(0.1)
        for group in clients.values():
            for client in group:
                client.forget()
        size = await site.radios.ask(
            "feed",
            radios=[subject.radio for subject in site.subjects],
            kind="text",
            count=plan.latency_packets,
            pace=plan.pace,
        )
        for name, group in clients.items():
            await asyncio.wait_for(asyncio.gather(*(one.expect(size) for one in group)), 10)
            delays = [list(packets.delays(client.chunks)) for client in group]
            if any(len(some) != plan.latency_packets for some in delays):
                raise LoadError(f"{name}: packets were lost or doubled")
            every = [delay * 1e3 for some in delays for delay in some]
            for part, share in _PARTS.items():
                found[part][name].append(percentile(every, share))
    for part, rounds in found.items():
        report.add(TO_CLIENTS, of, part, "ms", **rounds)


async def _to_radio(report: Report, plan: Plan, site: Site, clients: Audience, of: str) -> None:
    """Send from the clients of all subjects in turn, all clients of a subject alternately."""
    found: dict[str, defaultdict[str, list[float]]] = {part: defaultdict(list) for part in _PARTS}
    for _ in range(plan.latency_rounds):
        for subject in site.subjects:
            await site.radios.ask("delays", radio=subject.radio)
        await _talk(plan, site.subjects, clients)
        for subject in site.subjects:
            delays = await _heard(site, subject, plan.latency_packets)
            for part, share in _PARTS.items():
                found[part][subject.name].append(percentile(delays, share) * 1e3)
    for part, rounds in found.items():
        report.add(TO_RADIO, of, part, "ms", **rounds)


async def _talk(plan: Plan, subjects: Sequence[Subject], clients: Audience) -> None:
    begun = time.monotonic()
    for number in range(plan.latency_packets):
        for place, subject in enumerate(subjects):
            due = begun + plan.pace * (number + place / len(subjects))
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group = clients[subject.name]
            frame = packets.outgoing(subject.handshake.dialect.name)
            group[number % len(group)].write(packets.stamp(frame, time.monotonic_ns()))


async def _heard(site: Site, subject: Subject, count: int) -> list[float]:
    """Return the delays of so many packets at a radio, once they are there."""
    delays: list[float] = []
    deadline = time.monotonic() + 10
    while len(delays) < count:
        if time.monotonic() > deadline:
            raise LoadError(f"{subject.name}: {len(delays)} of {count} packets reached the radio")
        delays += await site.radios.ask("delays", radio=subject.radio)
        await asyncio.sleep(0.01)
    return delays
