"""One radio process, one process for our server and one for the bare reference."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
import time

from .dialects import DIALECTS
from .figures import BARE, DIRECT, OURS
from .load import Handshake, LoadClient, arrive_together, learn
from .worker import Worker


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is measured."""

    name: str
    port: int
    radio: int
    """The number of the radio behind it, or that it is."""
    handshake: Handshake
    worker: Worker
    """The process that serves."""

    async def cpu(self) -> float:
        """Return the CPU seconds that the serving process has used."""
        usage = await self.worker.ask("usage")
        return float(usage["cpu"])

    async def memory(self) -> float:
        """Return the bytes of memory that the serving process holds."""
        usage = await self.worker.ask("usage")
        return float(usage["rss"])


@dataclass(frozen=True, slots=True)
class Site:
    """Our server, the bare reference and a radio itself, each with a mesh of the same size."""

    radios: Worker
    subjects: Sequence[Subject]

    def subject(self, name: str) -> Subject:
        """Return one of them."""
        return next(subject for subject in self.subjects if subject.name == name)

    @property
    def servers(self) -> list[Subject]:
        """Those that take more than one client."""
        return [self.subject(OURS), self.subject(BARE)]

    def for_clients(self, count: int) -> Sequence[Subject]:
        """Return those that can serve so many clients: a radio serves one."""
        return self.subjects if count == 1 else self.servers


@dataclass(frozen=True, slots=True)
class Bed:
    """The processes, without radios or servers yet."""

    radios: Worker
    ours: Worker
    bare: Worker

    @asynccontextmanager
    async def site(self, protocol: str, size: int) -> AsyncIterator[Site]:
        """Start radios that know so many nodes, and servers in front of them."""
        dialect = DIALECTS[protocol]
        behind_ours, behind_bare, direct = [
            await self.radios.ask("open", protocol=protocol, size=size) for _ in range(3)
        ]
        try:
            port = await self.ours.ask(
                "open_ours", protocol=protocol, radio_port=behind_ours["port"]
            )
            handshake = await learn(port, dialect)
            ready = {
                b64encode(step.request).decode(): b64encode(answer).decode()
                for step, answer in zip(dialect.steps, handshake.answers, strict=True)
            }
            bare_port = await self.bare.ask(
                "open_bare", protocol=protocol, radio_port=behind_bare["port"], answers=ready
            )
            own = await learn(direct["port"], dialect)
            yield Site(
                self.radios,
                (
                    Subject(OURS, port, behind_ours["number"], handshake, self.ours),
                    Subject(BARE, bare_port, behind_bare["number"], handshake, self.bare),
                    Subject(DIRECT, direct["port"], direct["number"], own, self.radios),
                ),
            )
        finally:
            await self.ours.ask("close")
            await self.bare.ask("close")
            await self.radios.ask("close")


@asynccontextmanager
async def make_bed() -> AsyncIterator[Bed]:
    """Start the processes, and end them."""
    async with Worker("radio") as radios, Worker("server") as ours, Worker("server") as bare:
        yield Bed(radios, ours, bare)


type Audience = dict[str, list[LoadClient]]
"""Clients that have read everything, by the name of their subject."""


@asynccontextmanager
async def audience(site: Site, size: int) -> AsyncIterator[Audience]:
    """Give our server and the bare reference so many clients, and the radio itself one."""
    clients: Audience = {}
    try:
        for subject in site.subjects:
            handshake = subject.handshake
            if subject.name != BARE:
                # Traffic changes what is known of the mesh.
                handshake = await learn(subject.port, handshake.dialect)
            if subject.name == DIRECT:
                await _gone(site.radios, subject.radio)
            count = 1 if subject.name == DIRECT else size
            arrivals = await arrive_together(subject.port, handshake, count)
            clients[subject.name] = [arrival.client for arrival in arrivals]
        yield clients
    finally:
        for group in clients.values():
            for client in group:
                client.close()
        await _gone(site.radios, site.subject(DIRECT).radio)


async def _gone(radios: Worker, radio: int) -> None:
    """Wait until a radio's one connection is free again."""
    deadline = time.monotonic() + 5
    while await radios.ask("is_connected", radio=radio):
        if time.monotonic() > deadline:
            raise TimeoutError("a radio's connection stays taken")
        await asyncio.sleep(0.005)
