"""Keeps one stream to a radio open: connect, watch, back off, connect again.

A radio serves one program at a time, so there is never more than one attempt or connection. What
is said over the stream is the business of an `Upstream`; the link tells it when it is open, hands
it every byte at once, and lets it say when the radio has been read or does not answer any more.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
import logging
import random
import time
from typing import Final, Protocol, override

from .model import LinkState, LinkStatus
from .transport import Endpoint, TransportError, open_transport

_LOGGER = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 10.0
BACKOFF_FIRST: Final = 1.0
BACKOFF_LAST: Final = 60.0
LASTING_SESSION: Final = 30.0
"""A connection that was ready for so long counts as good: the next back-off starts afresh."""
QUICK_LOSS: Final = 60.0
"""A peer that ends a connection younger than this may have been taken by another program."""
CONTENDED_AFTER: Final = 3
"""So many such losses in a row are no accident."""
GONE_AFTER: Final = 3
"""After so many attempts in a row that met nobody, whoever fought for the radio is forgotten: it is
not there. One or two may be a radio that restarts, which a fight can make it do."""
CONTENDED_DELAY: Final = 30.0
"""The least wait while another program fights for the radio: both would only disturb each other."""
_MAX_UNSENT: Final = 64 * 1024
READ_AT_ONCE: Final = 1024
"""Bytes of a radio that are looked at before everybody else has had a turn: some fifteen packets. A
radio that says much at once would block the event loop for as long as it takes to follow, and each
packet may change the states of several entities."""
_FAREWELL_TIMEOUT: Final = 1.0


class Upstream(Protocol):
    """What is said to the radio. All calls come from the event loop and must return at once."""

    def link_opened(self, now: float) -> None:
        """A new connection stands: begin the handshake."""

    def link_data(self, data: bytes, now: float) -> None:
        """Bytes came, cut anywhere."""

    def link_closed(self, now: float) -> None:
        """The connection is gone; nothing written from now on is sent."""

    def link_tick(self, now: float) -> float:
        """Do what is due, and return after how many seconds to call again at the latest."""

    def link_farewell(self) -> bytes:
        """Return what to say before we close the connection on purpose."""


class Backoff:
    """How long to wait before the next attempt: 1 s, doubling to 60 s, with jitter."""

    def __init__(self, random_number: Callable[[], float] = random.random) -> None:
        """Start afresh.

        Args:
            random_number: Gives numbers from 0 to 1 for the jitter.
        """
        self._random_number = random_number
        self._next = BACKOFF_FIRST

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._next = BACKOFF_FIRST

    def next_delay(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait, between three quarters and the whole of the present step."""
        step = max(self._next, at_least)
        self._next = min(self._next * 2, BACKOFF_LAST)
        return step * (0.75 + 0.25 * self._random_number())


class Link:
    """One upstream stream, opened again whenever it is lost."""

    def __init__(
        self,
        endpoint: Endpoint,
        upstream: Upstream,
        *,
        name: str,
        on_status: Callable[[LinkStatus], None],
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare a link that is not started.

        Args:
            endpoint: Where the radio is.
            upstream: Who talks to it.
            name: What log lines call the source.
            on_status: Is told of every change of the link's state.
            clock: Seconds that only grow.
            backoff: How long to wait between attempts.
        """
        self.endpoint = endpoint
        self.status = LinkStatus()
        self._upstream = upstream
        self._name = name
        self._on_status = on_status
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._task: asyncio.Task[None] | None = None
        self._stream: _Stream | None = None
        self._quick_losses = 0
        self._met_nobody = 0
        self._loss_logged = False

    def start(self) -> None:
        """Begin to connect; does nothing when started already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"meshmonitor link {self._name}")

    async def stop(self) -> None:
        """Say farewell, close, and stay closed."""
        task, self._task = self._task, None
        if task is None:
            return
        try:
            stream = self._stream
            if stream is not None and not stream.closed.done():
                stream.write(self._upstream.link_farewell())
                stream.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FAREWELL_TIMEOUT):
                        await asyncio.shield(stream.closed)
        finally:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._set(replace(self.status, state=LinkState.STOPPED, connected_since=None))

    def write(self, data: bytes) -> bool:
        """Send bytes to the radio; returns whether there is a connection to take them.

        A radio that stops reading for so long that much is left unsent is dropped.
        """
        stream = self._stream
        if stream is None or stream.closed.done():
            return False
        if stream.unsent > _MAX_UNSENT:
            self.drop("radio stopped reading")
            return False
        return stream.write(data)

    def mark_ready(self) -> None:
        """The handshake is complete: from now on the connection is a session."""
        self._set(
            replace(
                self.status,
                state=LinkState.READY,
                connected_since=time.time(),
                last_error=None,
                sessions=self.status.sessions + 1,
                failures=0,
            )
        )
        _LOGGER.info("%s: connected to %s", self._name, self.endpoint)
        self._loss_logged = False
        if self._stream is not None:
            self._stream.ready_at = self._clock()

    def mark_handshake(self) -> None:
        """The radio began anew over the same connection, and has to be read again."""
        self._set(replace(self.status, state=LinkState.HANDSHAKE, connected_since=None))

    def expect_restart(self) -> None:
        """The radio was told something that may have it restart: that is no other program's doing.

        It holds for the present connection.
        """
        if self._stream is not None:
            self._stream.may_restart = True

    def drop(self, reason: str) -> None:
        """End the present connection; the next attempt follows the usual back-off.

        Args:
            reason: Why, in a few words for the log and the status, without secrets.
        """
        if self._stream is not None:
            self._stream.abort(reason)

    async def _run(self) -> None:
        while True:
            self._set(replace(self.status, state=LinkState.CONNECTING, connected_since=None))
            try:
                reason = await self._connection()
            except TransportError as err:
                reason = str(err)
                self._note_nobody()
            except Exception as err:
                # A fault of ours may cost a connection, never the link.
                _LOGGER.exception("%s: error while talking to %s", self._name, self.endpoint)
                reason = type(err).__name__
            if self._task is None:
                # What ended was ended by `stop`.
                return
            self._failed(reason)
            least = CONTENDED_DELAY if self.status.is_contended else 0.0
            await asyncio.sleep(self._backoff.next_delay(least))

    async def _connection(self) -> str:
        """Hold one connection from its beginning to its end; returns why it ended.

        Raises:
            TransportError: It did not come about.
        """
        try:
            _, stream = await open_transport(
                self.endpoint,
                lambda: _Stream(self._opened, self._received),
                timeout=CONNECT_TIMEOUT,
            )
            await self._watch(stream)
        finally:
            opened, self._stream = self._stream, None
            if opened is not None:
                opened.abort("stopped")
                self._upstream.link_closed(self._clock())
        self._note_losses(stream)
        return stream.reason

    async def _watch(self, stream: _Stream) -> None:
        """Let the upstream do what is due until the stream is closed."""
        while not stream.closed.done():
            now = self._clock()
            delay = self._upstream.link_tick(now)
            self._note_age(stream, now)
            await asyncio.wait((stream.closed,), timeout=delay)
        self._note_age(stream, self._clock())

    def _note_age(self, stream: _Stream, now: float) -> None:
        """Forgive what was before a session that lasts."""
        if stream.ready_at is None:
            return
        lasting = now - stream.ready_at
        if lasting >= LASTING_SESSION:
            self._backoff.reset()
        if lasting >= QUICK_LOSS:
            self._set(replace(self.status, is_contended=False))

    def _opened(self, stream: _Stream) -> None:
        self._stream = stream
        stream.opened_at = self._clock()
        self._set(replace(self.status, state=LinkState.HANDSHAKE))
        self._upstream.link_opened(stream.opened_at)

    def _received(self, stream: _Stream, data: bytes) -> None:
        if stream is self._stream:
            self._upstream.link_data(data, self._clock())

    def _note_nobody(self) -> None:
        """Count the attempts in a row that met nobody."""
        self._met_nobody += 1
        if self._met_nobody >= GONE_AFTER:
            self._quick_losses = 0
            self._set(replace(self.status, is_contended=False))

    def _note_losses(self, stream: _Stream) -> None:
        """Count the connections in a row that the peer ended soon."""
        self._met_nobody = 0
        age = self._clock() - stream.opened_at
        if stream.may_restart:
            self._quick_losses = 0
            self._backoff.reset()
        elif stream.closed_by_peer and age < QUICK_LOSS:
            self._quick_losses += 1
        else:
            self._quick_losses = 0

    def _failed(self, reason: str) -> None:
        if not self._loss_logged:
            self._loss_logged = True
            _LOGGER.warning(
                "%s: no connection to %s: %s; trying again", self._name, self.endpoint, reason
            )
        else:
            _LOGGER.debug("%s: still no connection: %s", self._name, reason)
        self._set(
            replace(
                self.status,
                state=LinkState.WAITING,
                connected_since=None,
                last_error=reason,
                failures=self.status.failures + 1,
                is_contended=self.status.is_contended or self._quick_losses >= CONTENDED_AFTER,
            )
        )

    def _set(self, status: LinkStatus) -> None:
        if status == self.status:
            return
        self.status = status
        try:
            self._on_status(status)
        except Exception:
            _LOGGER.exception("%s: error in telling the state of the link", self._name)


class _Stream(asyncio.Protocol):
    """One connection of a link."""

    def __init__(
        self,
        on_open: Callable[[_Stream], None],
        on_data: Callable[[_Stream, bytes], None],
    ) -> None:
        self._on_open = on_open
        self._on_data = on_data
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed_by_peer = False
        self.reason = ""
        self.opened_at = 0.0
        self.ready_at: float | None = None
        self.may_restart = False
        self._unread = b""
        self._unread_from = 0
        self._read_due: asyncio.Handle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._on_open(self)

    @override
    def data_received(self, data: bytes) -> None:
        self._unread = self._unread[self._unread_from :] + data
        self._unread_from = 0
        if self._read_due is None:
            self._read()

    def _read(self) -> None:
        """Hand on the next piece; what is left waits, and the radio with it, for the next turn."""
        self._read_due = None
        start = self._unread_from
        piece = self._unread[start : start + READ_AT_ONCE]
        self._unread_from = start + len(piece)
        is_more = self._unread_from < len(self._unread)
        if self._transport is not None:
            if is_more:
                self._transport.pause_reading()
            elif start:
                self._transport.resume_reading()
        try:
            self._on_data(self, piece)
        finally:
            if is_more and not self.closed.done():
                # Behind what the piece has given others to do.
                self._read_due = asyncio.get_running_loop().call_soon(self._read)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._read_due is not None:
            self._read_due.cancel()
            self._read_due = None
            if not self.reason:
                # The radio said it before it ended the connection.
                self._on_data(self, self._unread[self._unread_from :])
            self._unread = b""
        if not self.reason:
            self.closed_by_peer = exc is None or isinstance(exc, ConnectionError)
            self.reason = "closed by the radio" if exc is None else type(exc).__name__
        if not self.closed.done():
            self.closed.set_result(None)

    @property
    def unsent(self) -> int:
        """How many bytes wait for the radio to read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> bool:
        """Send bytes; returns whether the stream still takes them."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def close(self) -> None:
        """Close on purpose, behind what was written."""
        self.reason = self.reason or "stopped"
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """End the connection at once; the first reason given stays."""
        self.reason = self.reason or reason
        if self._transport is not None and not self.closed.done():
            self._transport.abort()
