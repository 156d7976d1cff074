"""Questions of Home Assistant to nodes of the mesh, and the answers that belong to them."""

import asyncio
from dataclasses import dataclass
from typing import Final

from ..mesh.model import Traceroute
from ..mesh.source import NeighborList, RequestAnswer, RequestKind, SendError, SendReason
from . import names
from .decode import Decoder
from .packets import NODE_INFO_APP, MeshPacket
from .reports import Decoded, NeighborReport, PositionReport, TelemetryReport

ANSWER_TIMEOUT: Final = 60.0
"""Seconds for a question to reach its node and the answer to come back, over several hops."""
MAX_PENDING: Final = 32


@dataclass(slots=True)
class _Question:
    kind: RequestKind
    node_id: str
    answer: asyncio.Future[RequestAnswer]


class Requests:
    """The questions that are still open."""

    def __init__(self, decoder: Decoder) -> None:
        """Start with none."""
        self._decoder = decoder
        self._open: dict[int, _Question] = {}

    def ask(self, packet_id: int, kind: RequestKind, node_id: str) -> asyncio.Future[RequestAnswer]:
        """Note a question that is being sent; returns where its answer will be.

        Raises:
            SendError: Too many are open.
        """
        if len(self._open) >= MAX_PENDING:
            raise SendError(SendReason.QUEUE_FULL)
        answer: asyncio.Future[RequestAnswer] = asyncio.get_running_loop().create_future()
        self._open[packet_id] = _Question(kind, node_id, answer)
        answer.add_done_callback(lambda _: self._open.pop(packet_id, None))
        return answer

    def failed(self, packet_id: int, error: int) -> None:
        """The question could not be sent, or its node or the radio refused it."""
        question = self._open.get(packet_id)
        if question is not None and not question.answer.done():
            reason = names.routing_error_name(error)
            question.answer.set_exception(SendError(SendReason.NO_ANSWER, reason))

    def packet(self, packet: MeshPacket, values: list[Decoded]) -> None:
        """See whether a packet answers a question."""
        question = self._open.get(packet.request_id) if packet.request_id else None
        if question is None or names.node_id(packet.sender) != question.node_id:
            return
        answer = self._answer(question.kind, packet, values)
        if answer is not None and not question.answer.done():
            question.answer.set_result(answer)

    def stop(self) -> None:
        """Nobody answers any more."""
        for question in tuple(self._open.values()):
            if not question.answer.done():
                question.answer.set_exception(SendError(SendReason.NOT_CONNECTED))

    def _answer(
        self, kind: RequestKind, packet: MeshPacket, values: list[Decoded]
    ) -> RequestAnswer | None:
        for value in values:
            match kind, value:
                case RequestKind.TRACEROUTE, Traceroute():
                    return value
                case RequestKind.POSITION, PositionReport(position=position):
                    return position
                case RequestKind.TELEMETRY, TelemetryReport(telemetry=telemetry):
                    return telemetry
                case RequestKind.NEIGHBORS, NeighborReport(node_id=node_id, neighbors=neighbors):
                    return NeighborList(node_id=node_id, neighbors=neighbors)
        if kind is RequestKind.NODE_INFO and packet.portnum == NODE_INFO_APP:
            return self._decoder.node(packet.sender)
        return None
