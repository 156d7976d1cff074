"""What a client costs in memory while nothing happens."""

import asyncio

from .bed import Site
from .figures import Report
from .load import check, connect, shake_hands
from .plan import Plan

SCENARIO = "Memory"


async def measure(report: Report, plan: Plan, site: Site, case: str) -> None:
    """Connect many clients, and look what they cost before and after their handshakes."""
    connected: dict[str, list[float]] = {}
    idle: dict[str, list[float]] = {}
    for subject in site.servers:
        await subject.worker.ask("settle")
        empty = await subject.memory()
        clients = [await connect(subject.port) for _ in range(plan.idle_clients)]
        await asyncio.sleep(0.1)
        await subject.worker.ask("settle")
        connected[subject.name] = [(await subject.memory() - empty) / 1024 / plan.idle_clients]
        await asyncio.gather(*(shake_hands(client, subject.handshake) for client in clients))
        check(subject.handshake, clients)
        await subject.worker.ask("settle")
        idle[subject.name] = [(await subject.memory() - empty) / 1024 / plan.idle_clients]
        for client in clients:
            client.close()
    of = f"{case}, each of {plan.idle_clients} clients"
    report.add(SCENARIO, of, "connected", "KiB", **connected)
    report.add(SCENARIO, of, "idle after its handshake", "KiB", **idle)
