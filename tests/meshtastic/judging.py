"""Decisions about packets, and what is checked of each."""

from typing import Final

from meshtastic.protobuf import mesh_pb2

from custom_components.meshmonitor.meshtastic import client_frame
from custom_components.meshmonitor.meshtastic.decision import (
    REFUSALS,
    Decision,
    Forward,
    RefusalReason,
    Refuse,
    RoutingError,
)
from custom_components.meshmonitor.meshtastic.policy import ClientRights, decide

from .phone import to_radio
from .view import RecordedView

NOW: Final = 5000.0
NOTHING: Final = ClientRights()
EVERYTHING: Final = ClientRights(
    admin=True, destructive=True, mqtt_delegate=True, position=True, secrets=True
)
REMOTE: Final = 0x0A000002
FOREIGN: Final = 0x0A000003


def judge(
    packet: mesh_pb2.MeshPacket, view: RecordedView, rights: ClientRights = NOTHING
) -> Decision:
    """Return the decision about a packet."""
    return decide(client_frame.parse(to_radio(packet)), view, rights, NOW)


def assert_forwarded(decision: Decision, packet: mesh_pb2.MeshPacket) -> Forward:
    """Check that a packet goes to the radio as it came."""
    assert isinstance(decision, Forward)
    assert decision.packet.raw == packet.SerializeToString()
    assert not decision.mutates
    return decision


def assert_refused(decision: Decision, reason: RefusalReason, error: RoutingError) -> None:
    """Check that a packet is refused, with its id, for a reason and in the protocol's words."""
    assert isinstance(decision, Refuse)
    assert decision.packet is not None
    assert (decision.reason, decision.error) == (reason, error)
    assert decision.text == REFUSALS[reason][1]
