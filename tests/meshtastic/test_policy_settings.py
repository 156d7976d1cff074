"""What is put back into settings that a client saves without what it was not shown."""

from typing import Final

from meshtastic.protobuf import admin_pb2, config_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic.decision import Forward, RefusalReason, RoutingError
from custom_components.meshmonitor.meshtastic.policy import ClientRights

from .judging import REMOTE, assert_refused, judge
from .phone import admin_packet
from .view import RecordedView

ADMIN: Final = ClientRights(admin=True)


@pytest.fixture
def view() -> RecordedView:
    """Return what is known of a recorded radio."""
    return RecordedView.recorded()


def test_gap_of_a_redacted_setting_is_filled(view: RecordedView) -> None:
    """A client that never saw the private key does not take it from the radio."""
    seen = config_pb2.Config.FromString(view.configs[8])
    private_key = seen.security.private_key
    assert len(private_key) == 32
    seen.security.ClearField("private_key")
    seen.security.serial_enabled = False
    packet = admin_packet(admin_pb2.AdminMessage(set_config=seen), to=view.own)
    decision = judge(packet, view, ADMIN)
    assert isinstance(decision, Forward)
    sent = mesh_pb2.MeshPacket.FromString(decision.packet.raw)
    security = admin_pb2.AdminMessage.FromString(sent.decoded.payload).set_config.security
    assert security.private_key == private_key
    assert not security.serial_enabled
    assert decision.packet.payload == sent.decoded.payload
    sent.decoded.payload = packet.decoded.payload
    assert sent == packet


def test_gap_that_cannot_be_filled_yet(view: RecordedView) -> None:
    """What is known from an earlier run has no private key to put back: then nothing is set."""
    seen = config_pb2.Config.FromString(view.configs[8])
    whole = admin_packet(admin_pb2.AdminMessage(set_config=seen), to=view.own)
    seen.security.ClearField("private_key")
    view.configs[8] = seen.SerializeToString()
    redacted = admin_packet(admin_pb2.AdminMessage(set_config=seen), to=view.own)
    other = admin_packet(
        admin_pb2.AdminMessage(
            set_config=config_pb2.Config(power=config_pb2.Config.PowerConfig(ls_secs=5))
        ),
        to=view.own,
    )
    for is_restored, passes in ((True, False), (False, True)):
        view.is_restored = is_restored
        decision = judge(redacted, view, ADMIN)
        if passes:
            assert isinstance(decision, Forward)
        else:
            assert_refused(decision, RefusalReason.NOT_READY, RoutingError.NO_INTERFACE)
        for packet in (whole, other):
            assert isinstance(judge(packet, view, ADMIN), Forward)


def test_remote_settings_are_not_filled(view: RecordedView) -> None:
    """The radio's own secrets do not go into what is set on another node."""
    config = config_pb2.Config(network=config_pb2.Config.NetworkConfig(wifi_psk="sekrit"))
    view.configs[4] = config_pb2.Config(
        network=config_pb2.Config.NetworkConfig(wifi_psk="real word")
    ).SerializeToString()
    packet = admin_packet(admin_pb2.AdminMessage(set_config=config), to=REMOTE)
    decision = judge(packet, view, ADMIN)
    assert isinstance(decision, Forward)
    assert decision.packet.raw == packet.SerializeToString()
