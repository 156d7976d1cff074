"""A virtual node in the hands of a test."""

import asyncio
from dataclasses import replace
import logging

import pytest

from custom_components.meshmonitor.mesh import virtual_node as virtual_node_module
from custom_components.meshmonitor.mesh.client import Client
from custom_components.meshmonitor.mesh.handler import ClientHandler
from custom_components.meshmonitor.mesh.virtual_node import VirtualNode, VirtualNodeOptions
from tests.mesh.peers import until
from tests.mesh.phones import Phone, Recorder
from tests.ports import free_port


class Node:
    """A virtual node, with what it told."""

    def __init__(self, *, idle_limit: float | None = None, **options: object) -> None:
        """Make one that does not listen yet, on this host alone unless told otherwise."""
        self.changes = 0
        self.phones: list[Phone] = []
        self.factory_error: Exception | None = None
        values = {"enabled": True, "port": free_port(), "bind_address": "127.0.0.1", **options}
        self.virtual_node = VirtualNode(
            "test",
            VirtualNodeOptions(**values),  # type: ignore[arg-type]
            self._handler,
            self._changed,
            idle_limit=idle_limit,
        )

    @property
    def port(self) -> int:
        """The port that it is meant to listen at."""
        return self.virtual_node.options.port

    async def apply(self, **changes: object) -> None:
        """Change options."""
        options = replace(self.virtual_node.options, **changes)  # type: ignore[arg-type]
        await self.virtual_node.apply(options)

    async def phone(self, *, source: str | None = None, host: str = "127.0.0.1") -> Phone:
        """Connect a phone, and wait until it is admitted."""
        before = set(self.virtual_node.clients)
        phone = await Phone.connect(self.port, source=source, host=host)
        self.phones.append(phone)
        await until(lambda: set(self.virtual_node.clients) - before)
        return phone

    async def end(self) -> None:
        """Stop; nothing may be left."""
        await self.virtual_node.stop()
        assert not self.virtual_node.is_running
        assert self.virtual_node.clients == {}
        assert tasks() == []
        for phone in self.phones:
            phone.sock.close()

    def recorders(self) -> list[Recorder]:
        """Return what the clients' handlers noted, in the order in which they came."""
        handlers = list(self.virtual_node.handlers)
        assert all(isinstance(handler, Recorder) for handler in handlers)
        return [handler for handler in handlers if isinstance(handler, Recorder)]

    def _handler(self, client: Client) -> ClientHandler:
        if self.factory_error is not None:
            raise self.factory_error
        return Recorder(client)

    def _changed(self) -> None:
        self.changes += 1


async def is_served(phone: Phone) -> bool:
    """Return whether a connection is still open at the other end."""
    await asyncio.sleep(0.02)
    try:
        phone.sock.recv(1)
    except BlockingIOError:
        return True
    except ConnectionError:
        pass
    return False


def said(caplog: pytest.LogCaptureFixture, *, level: int = logging.INFO) -> list[str]:
    """Return what the virtual node has logged at that level or above."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == virtual_node_module.__name__ and record.levelno >= level
    ]


def tasks() -> list[str]:
    """Return what virtual nodes have at work."""
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith("meshmonitor virtual node") and not task.done()
    ]
