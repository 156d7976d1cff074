"""Questions of clients that only the radio can answer: asked of it once, for all who ask."""

import asyncio
from collections.abc import Callable
from typing import Final

from . import replies
from .admin import PORTNUM, AdminQuery
from .client_frame import ClientPacket
from .decision import RoutingError
from .mirror import Mirror
from .outbox import Admission, Outbox, Outgoing
from .virtual_node import Phone

FETCH_TIMEOUT: Final = 10.0
"""Seconds until those who ask are told that there is no answer."""
AWAY_TIMEOUT: Final = 60.0
"""Seconds for a question that waits for the radio: one that has just taken settings restarts.

The Python client waits for ever once it was told no (``get_ringtone`` in its ``node.py``), and goes
on when the answer comes."""
_FETCHER: Final = "mirror"
"""The outbox's name for what is read for the mirror: its own turn beside the clients'."""


class Fetches:
    """The questions that are open, and who waits for their answers."""

    def __init__(self, mirror: Mirror, outbox: Outbox, new_packet_id: Callable[[], int]) -> None:
        """Begin without a question.

        Args:
            mirror: Keeps the answers.
            outbox: The way to the radio.
            new_packet_id: Returns an id for a question.
        """
        self._mirror = mirror
        self._outbox = outbox
        self._new_packet_id = new_packet_id
        self._waiting: dict[AdminQuery, list[tuple[Phone, ClientPacket]]] = {}
        self._queries: dict[int, AdminQuery] = {}
        self._timers: dict[AdminQuery, asyncio.TimerHandle] = {}

    def __contains__(self, packet_id: int) -> bool:
        """Return whether a packet is one of the open questions."""
        return packet_id in self._queries

    def stop(self) -> None:
        """Forget all questions; no timer is left."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()
        self._queries.clear()

    def fetch(self, phone: Phone, packet: ClientPacket, query: AdminQuery) -> None:
        """Ask the radio, unless it was asked that already, and have the phone wait for it.

        Args:
            phone: Who asks.
            packet: Its question, with an id.
            query: What is asked.
        """
        self._waiting.setdefault(query, []).append((phone, packet))
        own = self._mirror.my_node_num
        if query in self._timers or own is None:
            return
        packet_id = self._new_packet_id()
        raw = replies.admin_query(query, own, packet_id)
        outgoing = Outgoing(
            packet_id=packet_id,
            portnum=PORTNUM,
            sender=_FETCHER,
            destination=own,
            channel=0,
            raw=raw,
            payload=query.payload,
            query=query,
        )
        self._queries[packet_id] = query
        self._timers[query] = asyncio.get_running_loop().call_later(
            FETCH_TIMEOUT, self._be_patient, packet_id
        )
        if self._outbox.submit(outgoing, replies.for_radio(raw, packet_id)) is not Admission.QUEUED:
            self.failed(packet_id, RoutingError.NO_RESPONSE)

    def gone(self, phone: Phone) -> None:
        """A phone waits no more."""
        for query, waiting in self._waiting.items():
            self._waiting[query] = [item for item in waiting if item[0] is not phone]

    def answered(self, packet_id: int, answer: bytes) -> None:
        """The radio answered a question with this ``AdminMessage``."""
        query = self._queries[packet_id]
        self._mirror.remember_admin_answer(query, answer)
        for phone, packet in self._close(packet_id):
            phone.decide_again(packet)

    def failed(self, packet_id: int, error: int) -> None:
        """There will be no answer, for this ``Routing.Error``."""
        for phone, packet in self._close(packet_id):
            phone.fail(packet.id, error)

    def _be_patient(self, packet_id: int) -> None:
        """End a question that the radio does not answer; one that has not left may wait on."""
        if not self._outbox.is_waiting(packet_id):
            self._give_up(packet_id)
            return
        self._timers[self._queries[packet_id]] = asyncio.get_running_loop().call_later(
            AWAY_TIMEOUT - FETCH_TIMEOUT, self._give_up, packet_id
        )

    def _give_up(self, packet_id: int) -> None:
        """End a question that waited long enough, also where the radio is away and knows nothing.

        Nobody would hear what the radio says to it when it comes back.
        """
        was_waiting = self._outbox.withdraw(packet_id)
        self.failed(
            packet_id, RoutingError.NO_INTERFACE if was_waiting else RoutingError.NO_RESPONSE
        )

    def _close(self, packet_id: int) -> list[tuple[Phone, ClientPacket]]:
        """Return who waited for the answer to a question that is open no more."""
        query = self._queries.pop(packet_id)
        self._timers.pop(query).cancel()
        return self._waiting.pop(query, [])
