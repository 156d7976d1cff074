"""One client of a virtual node: its connection, its bounded queue, its figures.

What is said over the connection is the business of a `ClientHandler`, one for each protocol.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import logging
import time
from typing import Final, override

from .admission import IPAddress, parse_address
from .bucket import Bucket
from .handler import ClientHandler, ClientStatus, Worth
from .outflow import Outflow
from .transport import unacknowledged

_LOGGER = logging.getLogger(__name__)

MAX_QUEUED: Final = 1 << 20
"""Bytes that may wait for a client that reads too slowly, besides what its socket holds. A full
replay with a thousand nodes is a seventh of it."""
STALL_TIMEOUT: Final = 30.0
"""A client that took no byte for so long while some waited for it is gone, or as good as."""
_HIGH_WATER: Final = 64 * 1024
_WORTH_NO_COPY: Final = 16 * 1024
"""Bytes from which on pieces are handed to the system one by one, and not joined before."""
CLOSE_TIMEOUT: Final = 5.0
"""How long a connection that we close may take to hand over what was already sent."""
_WAIT_CLOSED_TIMEOUT: Final = 0.5
ACKNOWLEDGE_TIMEOUT: Final = 0.25
"""How long a connection that we close waits to hear that all has arrived. Systems put off their
acknowledgements by 40 to 200 ms."""
_ACKNOWLEDGE_POLL: Final = 0.01
OVERDUE: Final = 1.0
"""Seconds without an acknowledgement after which a client has probably left without a word."""
READ_AT_ONCE: Final = 512
"""Bytes of one client that are looked at before everybody else has had a turn."""
WORK_LIMIT: Final = 1000.0
"""What a client may ask for at once. A frame is 1, and so is every piece of `READ_AT_ONCE`; what
is more work says so (`Client.spend`)."""
WORK_RATE: Final = 200.0
"""What a client may ask for in a second for as long as it likes. Meanwhile nothing more is read
from it, so that its own system tells it to wait."""
FLOOD_TIMEOUT: Final = 60.0
"""A client that is held back for so long without a pause is ended. Had it gone, that would not be
seen before all was read that it had sent, hours later."""


class Client(asyncio.Protocol):
    """A connection of one client."""

    def __init__(
        self,
        client_id: str,
        outflow: Outflow,
        on_connect: Callable[[Client], bool],
        on_disconnect: Callable[[Client, str], None],
        on_garbage: Callable[[Client, int], None],
    ) -> None:
        """Prepare for a connection.

        Args:
            client_id: What status pages and log lines call it.
            outflow: Says when to write what was sent.
            on_connect: Is told of the connection; returns whether it may stay.
            on_disconnect: Is told of the end of an admitted connection, and why.
            on_garbage: Is told how many bytes came that no client sends.
        """
        self.client_id = client_id
        self.address: IPAddress | None = None
        self.handler: ClientHandler | None = None
        self.is_admin = False
        self.connected_at = time.time()
        self.last_activity = self.connected_at
        self.last_received = time.monotonic()
        self.bytes_in = 0
        self.bytes_out = 0
        self.dropped = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outflow = outflow
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._on_garbage = on_garbage
        self._transport: asyncio.Transport | None = None
        self._queue: deque[tuple[Worth, bytes]] = deque()
        self._queued = 0
        self._is_due = False
        self._close_due: asyncio.TimerHandle | None = None
        self._paused = False
        self._progress_mark = (0, 0.0)
        self._handed_over = 0
        self._overdue_mark = (0, 0.0)
        self._written_at = 0.0
        self._work = Bucket(WORK_LIMIT, WORK_RATE, self.last_received)
        self._unread = b""
        self._unread_from = 0
        self._read_due: asyncio.Handle | None = None
        self._held_since: float | None = None
        self._reason = ""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client, or end the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        with suppress(TypeError, ValueError):
            self.address = parse_address(transport.get_extra_info("peername")[0])
        try:
            is_admitted = self._on_connect(self)
        except Exception:
            _LOGGER.exception("Virtual node: error while admitting client %s", self.client_id)
            is_admitted = False
        if not is_admitted:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=_HIGH_WATER)

    @override
    def data_received(self, data: bytes) -> None:
        """Hand on a piece now, and the others when all had a turn."""
        if not self.is_open:
            return
        self.last_received = time.monotonic()
        self.last_activity = time.time()
        self.bytes_in += len(data)
        if self._work.level(self.last_received) >= WORK_RATE:
            # It has paused for a second. That all was read that had arrived is no pause.
            self._held_since = None
        self._unread = self._unread[self._unread_from :] + data
        self._unread_from = 0
        if self._read_due is None:
            self._read()

    @override
    def eof_received(self) -> None:
        """The client will say no more: it gets what it was to get, and nothing from now on."""
        self.close("closed by the client")

    @override
    def pause_writing(self) -> None:
        """The client reads too slowly: hold back what comes."""
        self._paused = True
        self._progress_mark = (self._unsent, time.monotonic())

    @override
    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        self.flush()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who has to know."""
        for due in (self._close_due, self._read_due):
            if due is not None:
                due.cancel()
        self._close_due = self._read_due = None
        self._unread = b""
        self._queue.clear()
        self._queued = 0
        if not self.closed.done():
            self.closed.set_result(None)
        if self.handler is not None:
            handler, self.handler = self.handler, None
            with self._closes_on_error():
                handler.disconnected()
            if not self._reason:
                self._reason = "closed by the client" if exc is None else type(exc).__name__
            self._on_disconnect(self, self._reason)

    @property
    def is_open(self) -> bool:
        """Whether something sent now may reach the client."""
        return self.handler is not None and not self._reason

    @property
    def position(self) -> int:
        """How many bytes the client was sent so far, those that still wait included."""
        return self.bytes_out + self._queued

    @property
    def acknowledged(self) -> int:
        """How many of these bytes have reached the client's system; too few rather than too many.

        It holds to the very end of the connection, however that comes: `ClientHandler.disconnected`
        can still ask.
        """
        transport = self._transport
        if transport is None:
            return 0
        if not transport.is_closing():
            self._handed_over = self.bytes_out - transport.get_write_buffer_size()
        return max(self._handed_over - unacknowledged(transport.get_extra_info("socket")), 0)

    @property
    def is_overdue(self) -> bool:
        """Whether something sent has not reached the client's system for a suspicious while."""
        now = time.monotonic()
        position, sent_at = self._overdue_mark
        if now - self._written_at > OVERDUE:
            return self.acknowledged < self.bytes_out
        return now - sent_at > OVERDUE and self.acknowledged < position

    def spend(self, amount: float) -> None:
        """Count work beyond that of a piece of bytes; who makes too much of it has to wait.

        Args:
            amount: How much, a frame being 1.
        """
        self._work.take(amount, time.monotonic())

    def report_garbage(self, amount: int) -> None:
        """Count bytes that no client sends; too many of them end the connection.

        Args:
            amount: How many.
        """
        self._on_garbage(self, amount)

    @property
    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, data: bytes, worth: Worth = Worth.VITAL) -> bool:
        """Send bytes, in one write with all else of this turn; returns whether they may arrive.

        Args:
            data: One or more whole frames.
            worth: What goes first when the client does not keep up.
        """
        if self._reason or self.handler is None:
            return False
        self._queue.append((worth, data))
        self._queued += len(data)
        if self._queued > MAX_QUEUED:
            # A lot in one turn is no slowness of the client's.
            self.flush()
            if self._queued > MAX_QUEUED:
                self._make_room()
        if not self._is_due and not self._paused:
            self._is_due = True
            self._outflow.add(self)
        return not self._reason

    def flush(self) -> None:
        """Write what was sent, unless the client reads too slowly."""
        self._is_due = False
        queue, transport = self._queue, self._transport
        if not queue or self._paused or self._reason or transport is None:
            return
        size, self._queued = self._queued, 0
        self._written_at = now = time.monotonic()
        position, sent_at = self._overdue_mark
        if now - sent_at > OVERDUE and self.acknowledged >= position:
            self._overdue_mark = (self.bytes_out + size, now)
        self.bytes_out += size
        if len(queue) == 1:
            transport.write(queue.popleft()[1])
        else:
            parts = [data for _, data in queue]
            queue.clear()
            if size < _WORTH_NO_COPY:
                transport.write(b"".join(parts))
            else:
                transport.writelines(parts)
        if not transport.is_closing():
            # A connection that breaks forgets what the system has not taken.
            self._handed_over = self.bytes_out - transport.get_write_buffer_size()

    def close(self, reason: str) -> None:
        """End the connection behind what was already sent; the first reason given stays."""
        if self._transport is None or self._reason or self.closed.done():
            return
        self.flush()
        self._reason = reason
        if self._unsent and self._paused:
            self._transport.abort()
        else:
            self._close_acknowledged(time.monotonic() + ACKNOWLEDGE_TIMEOUT)

    def _close_acknowledged(self, deadline: float) -> None:
        """Close as soon as it is known that all has arrived, or not to be known."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        if self.acknowledged < self.bytes_out and time.monotonic() < deadline:
            self._close_due = loop.call_later(_ACKNOWLEDGE_POLL, self._close_acknowledged, deadline)
            return
        self._transport.close()
        self._close_due = loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    def abort(self, reason: str) -> None:
        """End the connection at once; the first reason given stays."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone; one that will not close is aborted."""
        _, pending = await asyncio.wait((self.closed,), timeout=_WAIT_CLOSED_TIMEOUT)
        if pending:
            self.abort("closed")
            await asyncio.wait((self.closed,), timeout=_WAIT_CLOSED_TIMEOUT)

    def tick(self, now: float, idle_limit: float | None) -> None:
        """Find out whether the client is still there.

        Args:
            now: The monotonic clock, in seconds.
            idle_limit: After how many seconds without a byte from the client it is closed.
        """
        if idle_limit is not None and now - self.last_received > idle_limit:
            self.close("idle")
        elif self._unread and self._held_since and now - self._held_since > FLOOD_TIMEOUT:
            self.abort("sends too much")
        elif self._paused:
            unsent, since = self._progress_mark
            if self._unsent != unsent:
                self._progress_mark = (self._unsent, now)
            elif now - since > STALL_TIMEOUT:
                self.abort("stopped reading")
        if self.handler is not None and self.is_open:
            with self._closes_on_error():
                self.handler.tick(now)

    def rights_changed(self, *, is_admin: bool) -> None:
        """Let the client do from now on what it may.

        Args:
            is_admin: Whether it may administer the radio.
        """
        self.is_admin = is_admin
        if self.handler is not None:
            with self._closes_on_error():
                self.handler.rights_changed()

    @property
    def status(self) -> ClientStatus:
        """The client's figures at this moment."""
        return ClientStatus(
            client_id=self.client_id,
            ip=str(self.address),
            connected_at=self.connected_at,
            last_activity=self.last_activity,
            is_admin=self.is_admin,
            label="" if self.handler is None else self.handler.label,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            dropped=self.dropped,
        )

    @contextmanager
    def _closes_on_error(self) -> Iterator[None]:
        """Let a fault of ours end this client alone; it comes back by itself."""
        try:
            yield
        except Exception:
            _LOGGER.exception("Virtual node: error while serving client %s", self.client_id)
            self.close("internal error")

    def _read(self) -> None:
        """Hand the next piece to the handler, and see when its successor's turn is."""
        self._read_due = None
        if self._transport is None or self.handler is None or self._reason:
            self._unread = b""
            return
        now = time.monotonic()
        delay = self._work.delay(now)
        if not delay:
            start, self._unread_from = self._unread_from, self._unread_from + READ_AT_ONCE
            self._work.take(1, now)
            with self._closes_on_error():
                piece = self._unread[start : self._unread_from]
                self.handler.data_received(piece, self.last_received)
            self.flush()
        if self._unread_from < len(self._unread) and self.is_open:
            self._transport.pause_reading()
            if delay and self._held_since is None:
                self._held_since = now
            loop = asyncio.get_running_loop()
            again = loop.call_later(delay, self._read) if delay else loop.call_soon(self._read)
            self._read_due = again
        else:
            self._unread, self._unread_from = b"", 0
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _make_room(self) -> None:
        """Drop what is worth least, oldest first; close the client when that is not enough."""
        for least in (Worth.ROUTINE, Worth.NEWS):
            kept: deque[tuple[Worth, bytes]] = deque()
            for worth, data in self._queue:
                if worth is least and self._queued > MAX_QUEUED // 2:
                    self._queued -= len(data)
                    self.dropped += 1
                else:
                    kept.append((worth, data))
            self._queue = kept
            if self._queued <= MAX_QUEUED:
                return
        self.abort("reads too slowly")
