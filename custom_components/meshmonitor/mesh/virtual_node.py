"""The listener of a virtual node: options, admission, its clients, and hot swap.

The same for every protocol. It starts and stops without the link to the radio, keeps its clients
when only a permission changes, and binds a new port before it gives up the old one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
import errno
import itertools
import logging
import os
import time
from typing import Any, Final, Self

from .admission import (
    DEFAULT_ALLOWED_NETWORKS,
    AdmissionLog,
    Gate,
    IPAddress,
    IPNetwork,
    Rejection,
    is_in,
    parse_networks,
)
from .client import STALL_TIMEOUT, Client
from .handler import ClientHandler, ClientStatus
from .outflow import Outflow
from .transport import describe_error, tune_socket

_LOGGER = logging.getLogger(__name__)

ALL_INTERFACES: Final = ""
TICK: Final = 5.0
BIND_RETRY: Final = 15.0
_NETWORK_OPTIONS: Final = ("allowed_networks", "admin_networks")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualNodeOptions:
    """How a virtual node serves; protocols add options of their own by a subclass."""

    enabled: bool = False
    port: int
    bind_address: str = ALL_INTERFACES
    """A local address to listen at; empty listens at all."""
    allow_admin_commands: bool = False
    """Whether clients may change the radio's configuration."""
    allow_destructive_commands: bool = False
    """Whether those who may administer may also do what cannot be undone."""
    allowed_networks: tuple[IPNetwork, ...] = DEFAULT_ALLOWED_NETWORKS
    admin_networks: tuple[IPNetwork, ...] = ()
    """Where administrators may be; none means wherever a client may be."""
    max_clients: int = 32
    keep_missed_messages: bool = True
    """Whether a client that was away finds the messages that came meanwhile."""

    @property
    def is_admin_open(self) -> bool:
        """Whether anybody in the world who reaches it may configure the radio."""
        return (
            self.enabled
            and self.allow_admin_commands
            and _has_everyone(self.allowed_networks)
            and (not self.admin_networks or _has_everyone(self.admin_networks))
        )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """Return the options that a config entry holds; a missing key means its default.

        Args:
            options: Plain values, networks as texts. Keys of no option here are passed over.

        Raises:
            ValueError: A network is none.
        """
        known = {option.name for option in fields(cls)}
        values = {key: value for key, value in options.items() if key in known}
        for key in _NETWORK_OPTIONS:
            if key in values:
                values[key] = parse_networks(values[key])
        return cls(**values)


def _has_everyone(networks: tuple[IPNetwork, ...]) -> bool:
    return any(network.prefixlen == 0 for network in networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualNodeStatus:
    """A virtual node at one moment."""

    is_enabled: bool
    is_running: bool
    port: int
    """The port it listens at while it runs, else the one it is meant to listen at."""
    bind_error: str | None
    """Why it cannot listen where it should."""
    clients: tuple[ClientStatus, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)
    """How many connections were turned away, by reason."""


class VirtualNode:
    """Listens for clients and keeps what is common to all of them."""

    def __init__(
        self,
        name: str,
        options: VirtualNodeOptions,
        handler_factory: Callable[[Client], ClientHandler],
        on_change: Callable[[], None],
        *,
        idle_limit: float | None,
    ) -> None:
        """Prepare a virtual node that does not listen yet.

        Args:
            name: What log lines call the source.
            options: How to serve; applied by `start`.
            handler_factory: Makes the handler that speaks to a new client.
            on_change: Is told when it starts, stops or fails, or a client comes or goes.
            idle_limit: After how many seconds without a byte a client is closed; None means never.
        """
        self.options = options
        self.admission_log = AdmissionLog()
        self._gate = Gate()
        self.bind_error: str | None = None
        self._name = name
        self._handler_factory = handler_factory
        self._on_change = on_change
        self._idle_limit = idle_limit
        self._clients: dict[str, Client] = {}
        self._handlers: tuple[ClientHandler, ...] | None = ()
        self._outflow = Outflow()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._bound: tuple[str, int] | None = None
        self._swap = asyncio.Lock()
        self._retry: asyncio.Task[None] | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._started = False

    async def start(self) -> None:
        """Begin to serve as the options say; a port that is taken is tried again by itself."""
        self._started = True
        await self.apply(self.options)

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        self._started = False
        async with self._swap:
            await self._stop_retry()
            await self._close_listener()
            await self._close_clients("virtual node stopped")
        self._on_change()

    async def apply(self, options: VirtualNodeOptions) -> None:
        """Serve by these options from now on; only who is no longer allowed loses its connection.

        A new address or port is bound before the old one is given up. Where it cannot be bound,
        the old one serves on, `bind_error` says why, and it is tried again.
        """
        async with self._swap:
            self.options = options
            self.bind_error = None
            await self._stop_retry()
            if not self._started or not options.enabled:
                await self._close_listener()
                await self._close_clients("virtual node disabled")
            else:
                await self._listen()
                self._readmit()
        self._on_change()

    @property
    def is_running(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None

    @property
    def clients(self) -> Mapping[str, Client]:
        """The connected clients, by id, in the order in which they came."""
        return self._clients

    @property
    def status(self) -> VirtualNodeStatus:
        """What there is to tell at this moment."""
        return VirtualNodeStatus(
            is_enabled=self.options.enabled,
            is_running=self.is_running,
            port=self._bound[1] if self._bound else self.options.port,
            bind_error=self.bind_error,
            clients=tuple(client.status for client in self._clients.values()),
            rejected={str(key): value for key, value in self.admission_log.counts.items()},
        )

    @property
    def handlers(self) -> tuple[ClientHandler, ...]:
        """The handlers of all connected clients, the longest connected first."""
        if self._handlers is None:
            clients = self._clients.values()
            self._handlers = tuple([client.handler for client in clients if client.handler])
        return self._handlers

    def flush(self) -> None:
        """Write what clients were sent now, and not at the end of the event loop's turn."""
        self._outflow.flush()

    def close_clients(self, reason: str) -> None:
        """End every connection; clients come back by themselves and read everything anew."""
        for client in tuple(self._clients.values()):
            client.close(reason)

    async def _listen(self) -> None:
        wanted = (self.options.bind_address, self.options.port)
        if self._server is not None and self._bound == wanted:
            return
        if self.bind_error is None:
            _LOGGER.info("Starting virtual node server on port %s (%s)", wanted[1], self._name)
        previous = self._bound
        try:
            server = await self._bind_beside(wanted)
        except (OSError, ValueError, OverflowError) as err:
            # The last two: an address or port that is none.
            if self.bind_error is None:
                _LOGGER.error(
                    "%s: the virtual node cannot listen on port %s: %s; trying again",
                    self._name,
                    wanted[1],
                    describe_error(err),
                )
            self.bind_error = describe_error(err)
            self._retry = asyncio.create_task(
                self._bind_again(), name=f"meshmonitor virtual node {self._name}"
            )
            return
        await self._close_listener()
        self._server, self._bound = server, wanted
        self.bind_error = None
        if self._ticker is None:
            self._schedule_tick()
        _LOGGER.info(
            "Virtual node server listening on %s:%s (%s)",
            wanted[0] or "0.0.0.0",
            wanted[1],
            self._name,
        )
        if previous is not None:
            await self._close_clients("virtual node moved")

    async def _bind_beside(self, wanted: tuple[str, int]) -> asyncio.Server:
        """Bind an address while the present one serves on, or where it was if they overlap.

        Raises:
            OSError: It cannot be bound; the present one serves on.
        """
        previous = self._bound
        try:
            return await self._bind(*wanted)
        except OSError as err:
            if err.errno != errno.EADDRINUSE or previous is None or previous[1] != wanted[1]:
                raise
        # The same port at another address may only be in the way of itself.
        await self._close_listener()
        try:
            return await self._bind(*wanted)
        except OSError:
            with suppress(OSError):
                self._server, self._bound = await self._bind(*previous), previous
            raise

    async def _bind(self, address: str, port: int) -> asyncio.Server:
        try:
            server = await asyncio.get_running_loop().create_server(
                self._new_client, address or None, port, reuse_address=True, backlog=256
            )
        except OSError as err:
            if err.errno is None:
                # asyncio has no number for an address that is none of this host's.
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from err
            raise
        for sock in server.sockets:
            # Every connection accepted here has it from here.
            tune_socket(sock, user_timeout=STALL_TIMEOUT)
        return server

    async def _bind_again(self) -> None:
        """Try once more; where that fails too, the next attempt is a new task's."""
        await asyncio.sleep(BIND_RETRY)
        async with self._swap:
            self._retry = None
            await self._listen()
        self._on_change()

    async def _stop_retry(self) -> None:
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()
            with suppress(asyncio.CancelledError):
                await retry

    async def _close_listener(self) -> None:
        server, self._server = self._server, None
        self._bound = None
        if server is not None:
            server.close()
            _LOGGER.info("Virtual node server stopped (%s)", self._name)

    async def _close_clients(self, reason: str) -> None:
        if self._ticker is not None and self._server is None:
            self._ticker.cancel()
            self._ticker = None
        clients = tuple(self._clients.values())
        for client in clients:
            client.close(reason)
        if clients:
            await asyncio.gather(*(client.wait_closed() for client in clients))

    def _new_client(self) -> Client:
        client_id = f"vn-{next(self._numbers)}"
        return Client(client_id, self._outflow, self._admit, self._gone, self._garbage)

    def _admit(self, client: Client) -> bool:
        if self._server is None:
            # It was accepted in the moment in which the listener was closed.
            return False
        rejection = self._rejection(client)
        if rejection is not None:
            self._note_rejection(client, rejection)
            return False
        client.is_admin = self._is_admin(client)
        client.handler = self._handler_factory(client)
        self._clients[client.client_id] = client
        self._handlers = None
        _LOGGER.info(
            "Virtual node: client connected %s from %s (%s)",
            client.client_id,
            client.address,
            self._name,
        )
        self._on_change()
        return True

    def _rejection(self, client: Client) -> Rejection | None:
        if client.address is None or not is_in(client.address, self.options.allowed_networks):
            return Rejection.NETWORK
        max_clients = self.options.max_clients
        rejection = self._gate.attempt(client.address, max_clients, time.monotonic())
        if rejection is None and not self._has_room(client.address, max_clients):
            return Rejection.TOO_MANY_CLIENTS
        return rejection

    def _has_room(self, address: IPAddress, max_clients: int) -> bool:
        """Return whether there is room, made at need: no address keeps all the others out."""
        if len(self._clients) < max_clients:
            return True
        present = [client for client in self._clients.values() if client.is_open]
        if len(present) < max_clients:
            return True
        counts = Counter(client.address for client in present)
        greediest, count = counts.most_common(1)[0]
        if count <= counts[address] + 1:
            return False
        quietest = min(
            (client for client in present if client.address == greediest),
            key=lambda client: client.last_received,
        )
        quietest.abort("makes room for another address")
        return True

    def _note_rejection(self, client: Client, rejection: Rejection) -> None:
        if self.admission_log.note(client.address, rejection, time.monotonic()):
            _LOGGER.warning(
                "Virtual node: client %s turned away: %s (%s)",
                client.address,
                rejection.value,
                self._name,
            )

    def _garbage(self, client: Client, amount: int) -> None:
        """Shut out who sends what no client sends; others at its address stay."""
        if client.address is None or not client.is_open:
            return
        max_clients = self.options.max_clients
        if self._gate.garbage(client.address, amount, max_clients, time.monotonic()):
            self._note_rejection(client, Rejection.GARBAGE)
            client.abort("sends garbage")

    def _is_admin(self, client: Client) -> bool:
        options = self.options
        return (
            options.allow_admin_commands
            and client.address is not None
            and (not options.admin_networks or is_in(client.address, options.admin_networks))
        )

    def _readmit(self) -> None:
        """Apply changed permissions to the clients that are there."""
        for client in tuple(self._clients.values()):
            if client.address is None or not is_in(client.address, self.options.allowed_networks):
                client.abort("network no longer allowed")
                continue
            client.rights_changed(is_admin=self._is_admin(client))
        staying = [client for client in self._clients.values() if client.is_open]
        for client in staying[self.options.max_clients :]:
            client.close("too many clients")

    def _gone(self, client: Client, reason: str) -> None:
        self._clients.pop(client.client_id, None)
        self._handlers = None
        _LOGGER.info(
            "Virtual node: client disconnected %s: %s (%s)", client.client_id, reason, self._name
        )
        self._on_change()

    def _schedule_tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        for client in tuple(self._clients.values()):
            client.tick(now, self._idle_limit)
        self._schedule_tick()
