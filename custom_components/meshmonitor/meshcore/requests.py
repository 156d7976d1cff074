"""What Home Assistant asks other nodes, and what they answer."""

import asyncio
from collections.abc import Callable
import itertools
import random
import struct
import time
from typing import Final

from ..mesh.model import RouteHop, Telemetry
from ..mesh.source import NeighborList, RequestAnswer, RequestKind, SendError, SendReason
from . import decode
from .codes import AdvType, BinaryReq, Cmd, Resp
from .commands import COMMANDS, Slot
from .frames import Contact, FrameError, Sent, error_of
from .jobs import Job, Outcome
from .leases import TIMEOUT_FACTOR, TIMEOUT_MARGIN
from .mirror import Mirror
from .pushes import BinaryAnswer, LoginResult, PathDiscovery, RemoteData, Trace, path_hops

SUPPORTED: Final = frozenset(
    {
        RequestKind.TRACEROUTE,
        RequestKind.POSITION,
        RequestKind.TELEMETRY,
        RequestKind.NEIGHBORS,
        RequestKind.STATUS,
    }
)
PATIENCE: Final = 60.0
"""Seconds that a request may wait for one of somebody else to be answered."""
_PREFIX: Final = 6
_NEIGHBOUR_SIZE: Final = _PREFIX + 5
_NEIGHBOURS: Final = 40
"""As many as fit into one answer."""
_REPEATING: Final = frozenset({AdvType.REPEATER, AdvType.ROOM, AdvType.SENSOR})

_REASONS: Final = {
    Outcome.QUEUE_FULL: SendReason.QUEUE_FULL,
    Outcome.EXPIRED: SendReason.NOT_CONNECTED,
    Outcome.BUSY: SendReason.REFUSED,
    Outcome.TIMEOUT: SendReason.NO_ANSWER,
    Outcome.LOST: SendReason.NO_ANSWER,
}


class Requests:
    """Sends requests one at a time and waits for their answers."""

    def __init__(self, mirror: Mirror, send: Callable[[Job], None]) -> None:
        """Start with none.

        Args:
            mirror: For keys and paths of the nodes.
            send: Hands a job to the radio.
        """
        self._mirror = mirror
        self._send = send
        self._numbers = itertools.count(1)
        self._jobs: dict[Job, asyncio.Future[bytes]] = {}
        self._answers: dict[str, asyncio.Future[bytes]] = {}

    def done(self, job: Job) -> bool:
        """A job has ended; returns whether it was one of these."""
        future = self._jobs.pop(job, None)
        if future is None:
            return False
        if not future.done():
            if job.outcome is Outcome.ANSWERED:
                future.set_result(job.replies[-1] if job.replies else b"")
            else:
                assert job.outcome is not None
                future.set_exception(SendError(_REASONS[job.outcome], job.outcome.value))
        return True

    def push(self, frame: bytes, owners: tuple[object, ...]) -> None:
        """The radio sent what somebody waits for."""
        for owner in owners:
            future = self._answers.get(owner) if isinstance(owner, str) else None
            if future is not None and not future.done():
                future.set_result(frame)

    async def command(
        self, frame: bytes, *, owner: str = "", slot: Slot | None = None, key: bytes = b""
    ) -> bytes:
        """Have the radio execute a command, and return its response.

        Raises:
            SendError: It was not sent, refused or not answered.
        """
        job = Job(
            frame,
            owner or f"request-{next(self._numbers)}",
            time.monotonic() + PATIENCE,
            slot=slot,
            key=key,
        )
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._jobs[job] = future
        self._send(job)
        try:
            reply = await future
        finally:
            self._jobs.pop(job, None)
        if reply[:1] == bytes([Resp.ERR]):
            error = error_of(reply)
            raise SendError(SendReason.REFUSED, "" if error is None else error.name.lower())
        return reply

    async def ask(self, frame: bytes, key: bytes = b"") -> bytes:
        """Send a request to another node, and return the push that answers it.

        Args:
            frame: The command.
            key: What the answer is known by: six key bytes, or the tag of a trace.

        Raises:
            SendError: It was not sent, refused or not answered.
        """
        owner = f"request-{next(self._numbers)}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[owner] = answer
        try:
            slot = COMMANDS[frame[0]].slot
            sent = Sent.parse(await self.command(frame, owner=owner, slot=slot, key=key))
            async with asyncio.timeout(sent.timeout * TIMEOUT_FACTOR + TIMEOUT_MARGIN):
                return await answer
        except TimeoutError, FrameError:
            raise SendError(SendReason.NO_ANSWER) from None
        finally:
            del self._answers[owner]

    async def request(self, kind: RequestKind, contact: Contact) -> RequestAnswer:
        """Ask a node, and return its answer as Home Assistant is shown it.

        Raises:
            SendError: There was no answer, or none that could be read.
        """
        try:
            match kind:
                case RequestKind.TRACEROUTE:
                    return await self._trace(contact)
                case RequestKind.NEIGHBORS:
                    return await self._neighbours(contact)
                case RequestKind.STATUS:
                    frame = bytes([Cmd.SEND_STATUS_REQ]) + contact.public_key
                    answer = RemoteData.parse(await self.ask(frame, contact.public_key[:_PREFIX]))
                    is_room = contact.adv_type == AdvType.ROOM
                    kinds = decode.status_telemetry(answer.data, time.time(), is_room=is_room)
                    return _merged(kinds, "status")
                case RequestKind.TELEMETRY | RequestKind.POSITION:
                    return await self._telemetry(kind, contact)
                case _:
                    raise SendError(SendReason.NOT_SUPPORTED)
        except FrameError:
            raise SendError(SendReason.NO_ANSWER, "unreadable") from None

    async def login(self, contact: Contact, password: str) -> None:
        """Log in at a repeater or room server.

        Raises:
            SendError: It was refused, or there was no answer.
        """
        frame = bytes([Cmd.SEND_LOGIN]) + contact.public_key + password.encode()[:15]
        result = LoginResult.parse(await self.ask(frame, contact.public_key[:_PREFIX]))
        if not result.is_success:
            raise SendError(SendReason.LOGIN_FAILED)

    async def _telemetry(self, kind: RequestKind, contact: Contact) -> RequestAnswer:
        frame = bytes([Cmd.SEND_TELEMETRY_REQ, 0, 0, 0]) + contact.public_key
        answer = RemoteData.parse(await self.ask(frame, contact.public_key[:_PREFIX]))
        kinds, position = decode.lpp_telemetry(answer.data, time.time())
        if kind is RequestKind.TELEMETRY:
            return _merged(kinds, "telemetry")
        if position is None:
            raise SendError(SendReason.NO_ANSWER, "no position")
        return position

    async def _neighbours(self, contact: Contact) -> NeighborList:
        ask = struct.pack("<BBBHBB", BinaryReq.NEIGHBOURS, 0, _NEIGHBOURS, 0, 0, _PREFIX)
        blob = random.randbytes(4)
        frame = bytes([Cmd.SEND_BINARY_REQ]) + contact.public_key + ask + blob
        data = BinaryAnswer.parse(await self.ask(frame)).data
        hops = []
        # Total and number in this answer, then key prefix, seconds since, and signal of each. What
        # is left of the last cipher block would be one more.
        end = min(4 + int.from_bytes(data[2:4], "little") * _NEIGHBOUR_SIZE, len(data))
        for at in range(4, end - _NEIGHBOUR_SIZE + 1, _NEIGHBOUR_SIZE):
            snr = int.from_bytes(data[at + _PREFIX + 4 : at + _PREFIX + 5], signed=True) / 4
            hops.append(RouteHop(node_id=self._node_id(data[at : at + _PREFIX]), snr=snr))
        return NeighborList(node_id=contact.public_key.hex(), neighbors=tuple(hops))

    async def _trace(self, contact: Contact) -> RequestAnswer:
        """Trace the known path where every node on it repeats; else discover one."""
        key, node_id = contact.public_key, contact.public_key.hex()
        relays = path_hops(contact.out_path_len, contact.out_path)
        if contact.out_path_len != 0xFF and contact.adv_type in _REPEATING:
            size = 1 if (contact.out_path_len >> 6) == 0 else 2
            there = [*(relay[:size] for relay in relays), key[:size]]
            path = b"".join([*there, *reversed(there[:-1])])
            tag = random.randbytes(4)
            head = bytes([Cmd.SEND_TRACE_PATH]) + tag + bytes(4) + bytes([size - 1])
            trace = Trace.parse(await self.ask(head + path, tag))
            return decode.traceroute(trace, node_id, tag.hex(), len(there), self._node_id)
        frame = bytes([Cmd.SEND_PATH_DISCOVERY_REQ, 0]) + key
        found = PathDiscovery.parse(await self.ask(frame, key[:_PREFIX]))
        return decode.discovered(found, node_id, self._node_id)

    def _node_id(self, prefix: bytes) -> str:
        """Return the whole key of the node that a prefix means, if only one is known.

        An empty one means the own radio.
        """
        own = self._mirror.public_key
        if not prefix:
            return "" if own is None else own.hex()
        keys = [*self._mirror.contacts.frames, *([] if own is None else [own])]
        matches = [key for key in keys if key.startswith(prefix)]
        return matches[0].hex() if len(matches) == 1 else prefix.hex()


def _merged(kinds: dict[str, Telemetry], kind: str) -> Telemetry:
    """Return all readings of an answer as one."""
    values: dict[str, float | int | str] = {}
    for telemetry in kinds.values():
        values.update(telemetry.values)
    return Telemetry(kind=kind, values=values, time=time.time())
