"""A radio that writes many packets in one go, and what it takes to hand them to all clients."""

import asyncio
from collections import defaultdict

from .bed import Site, Subject, audience
from .figures import DIRECT, Report
from .load import LoadClient, LoadError
from .plan import Plan

SCENARIO = "Burst"
KINDS = ("position", "telemetry", "node_info")
"""What is measured besides texts where nobody listens: it changes what is known of the mesh."""


async def measure(report: Report, plan: Plan, site: Site, case: str) -> None:
    """Fire bursts of texts at audiences of each size, for each subject in turn."""
    for size in plan.audiences:
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        cpu: defaultdict[str, list[float]] = defaultdict(list)
        async with audience(site, size) as clients:
            for _ in range(plan.burst_rounds):
                for subject in site.subjects:
                    group = clients[subject.name]
                    took, used = await _fire(site, subject, group, plan.burst)
                    seconds[subject.name].append(took * 1e3)
                    if subject.name != DIRECT:
                        cpu[subject.name].append(used * 1e6 / plan.burst / size)
        of = f"{case}, {plan.burst} packets to {size} clients"
        report.add(SCENARIO, of, "all have all", "ms", **seconds)
        rate = {
            who: [plan.burst / took * 1e3 for took in rounds] for who, rounds in seconds.items()
        }
        report.add(SCENARIO, of, "throughput", "packets/s", **rate)
        report.add(SCENARIO, of, "server's CPU for a delivered packet", "µs", **cpu)


async def measure_alone(report: Report, plan: Plan, site: Site, case: str) -> None:
    """Measure what a packet costs our server where nobody listens, by kind."""
    subject = next(iter(site.servers))
    for kind in ("text", *KINDS):
        costs: list[float] = []
        for _ in range(plan.burst_rounds):
            await site.radios.ask("prepare", radio=subject.radio, kind=kind, count=plan.burst)
            before = await subject.worker.ask("usage")
            received = await subject.worker.ask("received")
            await site.radios.ask("fire", radio=subject.radio)
            await subject.worker.ask("wait_received", count=received + plan.burst)
            used = await subject.cpu() - before["cpu"]
            costs.append(used * 1e6 / plan.burst)
        report.add(SCENARIO, f"{case}, no client", f"CPU for a {kind}", "µs", ours=costs)


async def _fire(
    site: Site, subject: Subject, clients: list[LoadClient], count: int
) -> tuple[float, float]:
    """Return how many seconds a burst took, and how many CPU seconds of the server's.

    Raises:
        LoadError: Something was lost, or out of order.
    """
    ready = await site.radios.ask("prepare", radio=subject.radio, kind="text", count=count)
    before = await subject.cpu()
    for client in clients:
        client.forget()
    everything = asyncio.gather(*(client.expect(ready["bytes"]) for client in clients))
    fired = await site.radios.ask("fire", radio=subject.radio)
    await asyncio.wait_for(everything, 60)
    used = await subject.cpu() - before
    first = clients[0].data
    frames, rest = subject.handshake.dialect.cut(first)
    if rest or len(frames) != count or any(client.data != first for client in clients):
        raise LoadError(f"{subject.name}: a burst did not arrive whole and in order")
    return (max(client.chunks[-1][0] for client in clients) - fired) / 1e9, used
