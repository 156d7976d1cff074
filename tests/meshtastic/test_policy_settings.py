"""Settings that a client saves without what it was not shown, or that its app sends unasked."""

from typing import Final

from meshtastic.protobuf import admin_pb2, config_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import wire
from custom_components.meshmonitor.meshtastic.decision import Forward, RefusalReason, RoutingError
from custom_components.meshmonitor.meshtastic.policy import ClientRights

from .judging import NOTHING, REMOTE, assert_refused, judge
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


def set_device(**changes: str | int) -> bytes:
    """Return the command that sets what kind of node it is, with some of it changed."""
    device = config_pb2.Config.DeviceConfig(node_info_broadcast_secs=900)
    config = config_pb2.Config(device=device)
    for name, value in changes.items():
        setattr(config.device, name, value)
    return admin_pb2.AdminMessage(set_config=config).SerializeToString()


@pytest.mark.parametrize(
    ("present", "command", "reason"),
    [
        pytest.param("", set_device(tzdef="CET-1"), RefusalReason.TIME_ZONE, id="first one"),
        pytest.param(
            "EST5", set_device(tzdef="CET-1"), RefusalReason.ADMIN_NOT_ALLOWED, id="another one"
        ),
        pytest.param(
            "", set_device(tzdef="CET-1", role=2), RefusalReason.ADMIN_NOT_ALLOWED, id="and more"
        ),
        pytest.param(
            "",
            set_device(tzdef="CET-1", node_info_broadcast_secs=0),
            RefusalReason.ADMIN_NOT_ALLOWED,
            id="and less",
        ),
        pytest.param("", set_device(), RefusalReason.ADMIN_NOT_ALLOWED, id="none"),
        pytest.param(
            "",
            wire.bytes_field(34, wire.bytes_field(1, b"\x5a\x7f")),
            RefusalReason.ADMIN_NOT_ALLOWED,
            id="damaged",
        ),
    ],
)
def test_time_zone(present: str, command: bytes, reason: RefusalReason, view: RecordedView) -> None:
    """An app gives it unasked to a radio that has none: refused like all else, and not told."""
    device = config_pb2.Config.DeviceConfig(node_info_broadcast_secs=900, tzdef=present)
    # As a radio writes it that leaves no zero out.
    view.configs[1] = wire.bytes_field(1, device.SerializeToString() + wire.varint_field(1, 0))
    for rights in (NOTHING, ClientRights(destructive=True)):
        assert_refused(
            judge(admin_packet(command, to=view.own), view, rights),
            reason,
            RoutingError.NOT_AUTHORIZED,
        )
    assert isinstance(judge(admin_packet(command, to=view.own), view, ADMIN), Forward)
    assert_refused(
        judge(admin_packet(command, to=REMOTE), view),
        RefusalReason.ADMIN_NOT_ALLOWED,
        RoutingError.NOT_AUTHORIZED,
    )
    del view.configs[1]
    assert_refused(
        judge(admin_packet(command, to=view.own), view),
        RefusalReason.ADMIN_NOT_ALLOWED,
        RoutingError.NOT_AUTHORIZED,
    )
