"""The policy on top of the real mirror."""

from itertools import product
from pathlib import Path

from meshtastic.protobuf import admin_pb2, config_pb2
import pytest

from custom_components.meshmonitor.meshtastic import client_frame, wire
from custom_components.meshmonitor.meshtastic.admin import AdminQuery
from custom_components.meshmonitor.meshtastic.decision import Answer, Fetch, Forward, Refuse
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.policy import ClientRights, MirrorView, decide
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8

from .judging import EVERYTHING, NOTHING, NOW
from .phone import BROADCAST, NO_LORA, PORT, admin_packet, mesh_packet, to_radio
from .recorded import VERSIONS, mirror_of
from .test_policy_admin import VARIANTS, command
from .view import RecordedView

RECORDINGS = [
    pytest.param("2.7.26", MESHTASTIC_2_7, id="2.7"),
    pytest.param("2.8.0-dev", MESHTASTIC_2_8, id="2.8"),
]


@pytest.mark.parametrize(("version", "path"), RECORDINGS)
def test_mirror_decides_as_a_recording_does(version: str, path: Path) -> None:
    """For every command the mirror gives the decision that the raw dump gives."""
    mirror: MirrorView = mirror_of(version)
    view = RecordedView.recorded(path)
    assert mirror.my_node_num == view.own
    for field, to, rights in product(
        VARIANTS, (view.own, BROADCAST, NO_LORA, 0x0A000002), (NOTHING, EVERYTHING)
    ):
        frame = client_frame.parse(to_radio(admin_packet(command(field), to=to)))
        assert decide(frame, mirror, rights, NOW) == decide(frame, view, rights, NOW)
    for tag, argument in product((1, 5, 7), range(1, 8)):
        query = admin_packet(AdminQuery(tag, argument).payload, to=view.own)
        frame = client_frame.parse(to_radio(query))
        decision = decide(frame, mirror, NOTHING, NOW)
        assert decision == decide(frame, view, NOTHING, NOW)
        assert isinstance(decision, Answer)


@pytest.mark.parametrize("version", VERSIONS)
def test_own_identity_is_known(version: str) -> None:
    """The identity that a phone was given is the one that may go out."""
    mirror = mirror_of(version)
    user = mirror.own_user()
    assert user is not None
    packet = mesh_packet(user, portnum=PORT.NODEINFO_APP, to=0x0A000002, want_response=True)
    frame = client_frame.parse(to_radio(packet))
    assert isinstance(decide(frame, mirror, NOTHING, NOW), Forward)
    renamed = wire.replace_field(user, 2, wire.bytes_field(2, b"Somebody else"))
    packet = mesh_packet(renamed, portnum=PORT.NODEINFO_APP, to=0x0A000002)
    frame = client_frame.parse(to_radio(packet))
    assert isinstance(decide(frame, mirror, EVERYTHING, NOW), Refuse)


def test_fetched_answer_is_kept() -> None:
    """What was fetched once answers the next one who asks."""
    mirror = mirror_of("2.7.26")
    assert mirror.my_node_num is not None
    question = admin_packet(AdminQuery(14).payload, to=mirror.my_node_num)
    frame = client_frame.parse(to_radio(question))
    decision = decide(frame, mirror, NOTHING, NOW)
    assert isinstance(decision, Fetch)
    mirror.remember_admin_answer(decision.query, wire.bytes_field(15, b"beep"))
    assert isinstance(decide(frame, mirror, NOTHING, NOW), Answer)


def test_mirror_that_knows_nothing() -> None:
    """Before the first dump nothing passes."""
    frame = client_frame.parse(to_radio(mesh_packet()))
    assert isinstance(decide(frame, Mirror(), ClientRights(admin=True), NOW), Refuse)


def test_secrets_come_back_from_the_mirror() -> None:
    """A redacted setting that is saved unchanged leaves the radio as it was."""
    mirror = mirror_of("2.7.26")
    assert mirror.my_node_num is not None
    real = mirror.config(8)
    assert real is not None
    question = admin_packet(AdminQuery(5, 7).payload, to=mirror.my_node_num)
    shown = decide(client_frame.parse(to_radio(question)), mirror, NOTHING, NOW)
    assert isinstance(shown, Answer)
    config = wire.value_bytes(shown.payload, wire.last(wire.scan(shown.payload), 6))
    assert config != real
    save = admin_packet(wire.bytes_field(34, config), to=mirror.my_node_num)
    decision = decide(client_frame.parse(to_radio(save)), mirror, EVERYTHING, NOW)
    assert isinstance(decision, Forward)
    sent = admin_pb2.AdminMessage.FromString(decision.packet.payload).set_config
    assert sent == config_pb2.Config.FromString(real)
