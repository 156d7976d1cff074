"""What would change who and where the radio is, and questions about it."""

from typing import Final

from meshtastic.protobuf import config_pb2, mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import client_frame, wire
from custom_components.meshmonitor.meshtastic.decision import (
    Answer,
    Forward,
    RefusalReason,
    RoutingError,
    Swallow,
)
from custom_components.meshmonitor.meshtastic.policy import (
    FRESH_LOCAL_STATS,
    FRESH_POSITION,
    FRESH_TELEMETRY,
    ClientRights,
    decide,
)

from .judging import EVERYTHING, NOW, REMOTE, assert_forwarded, assert_refused, judge
from .phone import BROADCAST, NO_LORA, PORT, mesh_packet, to_radio
from .view import RecordedView


@pytest.fixture
def view() -> RecordedView:
    """Return a radio that stands still."""
    return RecordedView.recorded()


@pytest.mark.parametrize("to", [BROADCAST, NO_LORA, REMOTE, 0x0A000001])
def test_own_identity_passes(to: int, view: RecordedView) -> None:
    """A phone may exchange names in its node's name, with the node's own."""
    user = mesh_pb2.User.FromString(view.users[view.own])
    for change in ("nothing", "macaddr", "is_unmessagable"):
        if change != "nothing":
            user.ClearField("macaddr" if change == "macaddr" else "is_unmessagable")
        packet = mesh_packet(
            user.SerializeToString(), portnum=PORT.NODEINFO_APP, to=to, want_response=True
        )
        assert_forwarded(judge(packet, view), packet)


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(mesh_pb2.User(long_name="Somebody else"), id="name"),
        pytest.param(mesh_pb2.User(short_name="else"), id="short name"),
        pytest.param(mesh_pb2.User(public_key=bytes(32)), id="key"),
        pytest.param(mesh_pb2.User(id="!0badcafe"), id="id"),
        pytest.param(mesh_pb2.User(role=config_pb2.Config.DeviceConfig.ROUTER), id="role"),
        pytest.param(mesh_pb2.User(is_licensed=True), id="licence"),
        pytest.param(mesh_pb2.User(is_unmessagable=True), id="unmessagable"),
    ],
)
def test_another_identity_is_refused(user: mesh_pb2.User, view: RecordedView) -> None:
    """Nothing but the node's own identity goes out under its number, with whatever right."""
    own = mesh_pb2.User.FromString(view.users[view.own])
    own.MergeFrom(user)
    for payload in (own.SerializeToString(), user.SerializeToString()):
        assert_refused(
            judge(mesh_packet(payload, portnum=PORT.NODEINFO_APP, to=REMOTE), view, EVERYTHING),
            RefusalReason.FOREIGN_IDENTITY,
            RoutingError.NOT_AUTHORIZED,
        )


def test_no_identity_is_refused(view: RecordedView) -> None:
    """An empty, partial, ambiguous or damaged identity would be kept by others as it is."""
    own = view.users[view.own]
    keyless = wire.replace_field(own, 8, b"")
    twice = own + wire.bytes_field(2, b"Somebody else")
    newer = own + wire.bytes_field(77, b"newer")
    for payload in (b"", keyless, twice, newer, own[:-1], b"\x12\x7f"):
        assert_refused(
            judge(mesh_packet(payload, portnum=PORT.NODEINFO_APP, to=REMOTE), view, EVERYTHING),
            RefusalReason.FOREIGN_IDENTITY,
            RoutingError.NOT_AUTHORIZED,
        )


def test_identity_of_a_radio_that_is_newer(view: RecordedView) -> None:
    """A phone that knows fewer fields than the radio still exchanges names."""
    payload = view.users[view.own]
    view.users[view.own] += wire.bytes_field(77, b"newer")
    packet = mesh_packet(payload, portnum=PORT.NODEINFO_APP, to=REMOTE)
    assert_forwarded(judge(packet, view), packet)
    packet = mesh_packet(view.users[view.own], portnum=PORT.NODEINFO_APP, to=REMOTE)
    assert_forwarded(judge(packet, view), packet)


def position(*, latitude: int = 515_000_000, to: int, want_response: bool = False) -> bytes:
    """Return the frame of a position with these coordinates; none for latitude 0."""
    coordinates = mesh_pb2.Position(time=1_800_000_000, altitude=12)
    if latitude:
        coordinates.latitude_i = latitude
        coordinates.longitude_i = -1_000_000
    return to_radio(
        mesh_packet(
            coordinates.SerializeToString(),
            portnum=PORT.POSITION_APP,
            to=to,
            want_response=want_response,
        )
    )


LENDER: Final = ClientRights(position=True)
OTHER: Final = ClientRights(admin=True, destructive=True)


@pytest.mark.parametrize("to", [0x0A000001, NO_LORA])
def test_position_is_lent(to: int, view: RecordedView) -> None:
    """One client lends its position to the radio; what others send is taken for read."""
    frame = client_frame.parse(position(to=to))
    lent = decide(frame, view, LENDER, NOW)
    assert isinstance(lent, Forward)
    assert lent.lends_position
    kept = decide(frame, view, OTHER, NOW)
    assert isinstance(kept, Swallow)
    assert kept.ack


@pytest.mark.parametrize("to", [0x0A000001, NO_LORA])
def test_no_position_is_lent(to: int, view: RecordedView) -> None:
    """A position without coordinates would take the radio's own from it."""
    frame = client_frame.parse(position(latitude=0, to=to))
    for rights in (LENDER, OTHER):
        assert isinstance(decide(frame, view, rights, NOW), Swallow)


def test_position_is_broadcast(view: RecordedView) -> None:
    """What is said to all under the radio's number also becomes the radio's own position."""
    for latitude in (1, 0):
        frame = client_frame.parse(position(latitude=latitude, to=BROADCAST))
        lent = decide(frame, view, LENDER, NOW)
        assert isinstance(lent, Forward)
        assert lent.lends_position is bool(latitude)
        assert_refused(
            decide(frame, view, OTHER, NOW),
            RefusalReason.POSITION_NOT_ALLOWED,
            RoutingError.NOT_AUTHORIZED,
        )


def test_position_to_another_node(view: RecordedView) -> None:
    """Exchanging positions with another node changes nothing here."""
    for rights in (LENDER, OTHER):
        frame = client_frame.parse(position(to=REMOTE, want_response=True))
        decision = decide(frame, view, rights, NOW)
        assert isinstance(decision, Forward)
        assert not decision.lends_position


def test_position_of_the_radio_is_asked_for(view: RecordedView) -> None:
    """A question for the radio's position is answered: fully while that is fresh."""
    kept = mesh_pb2.Position(latitude_i=8).SerializeToString()
    answer = mesh_pb2.Position(latitude_i=7).SerializeToString()
    for latitude, rights in ((0, LENDER), (0, OTHER), (1, OTHER)):
        frame = client_frame.parse(position(latitude=latitude, to=view.own, want_response=True))
        view.position = (NOW - FRESH_POSITION, answer)
        decision = decide(frame, view, rights, NOW)
        assert isinstance(decision, Answer)
        assert (decision.portnum, decision.payload) == (PORT.POSITION_APP, answer)
        view.position = (NOW - FRESH_POSITION - 1, answer)
        view.kept_position = kept
        decision = decide(frame, view, rights, NOW)
        assert isinstance(decision, Answer)
        assert decision.payload == kept
        for nothing in (None, b""):
            view.kept_position = nothing
            assert isinstance(decide(frame, view, rights, NOW), Swallow)


def test_telemetry_of_the_radio_is_asked_for(view: RecordedView) -> None:
    """A question for the radio's telemetry is answered, per kind, while the answer is fresh."""
    stats = telemetry_pb2.Telemetry(time=1, local_stats=telemetry_pb2.LocalStats(num_packets_rx=3))
    device = telemetry_pb2.Telemetry(time=1, device_metrics=telemetry_pb2.DeviceMetrics(voltage=4))
    for telemetry, variant, fresh in (
        (stats, 6, FRESH_LOCAL_STATS),
        (device, 2, FRESH_TELEMETRY),
    ):
        for to in (view.own, NO_LORA):
            packet = mesh_packet(
                telemetry.SerializeToString(),
                portnum=PORT.TELEMETRY_APP,
                to=to,
                want_response=True,
            )
            view.telemetry = {variant: (NOW - fresh, b"fresh"), 3: (NOW, b"another kind")}
            decision = judge(packet, view)
            assert isinstance(decision, Answer)
            assert (decision.portnum, decision.payload) == (PORT.TELEMETRY_APP, b"fresh")
            view.telemetry[variant] = (NOW - fresh - 1, b"stale")
            assert_forwarded(judge(packet, view), packet)


@pytest.mark.parametrize(
    ("payload", "to", "want_response"),
    [
        pytest.param(b"\x12\x00", 0x0A000001, False, id="not a question"),
        pytest.param(b"\x12\x00", REMOTE, True, id="to another node"),
        pytest.param(b"\x12\x00", BROADCAST, True, id="to all"),
        pytest.param(b"\x0d\x01\x00\x00\x00", 0x0A000001, True, id="no kind"),
        pytest.param(b"\x12\x00\x1a\x00", 0x0A000001, True, id="two kinds"),
    ],
)
def test_other_telemetry_passes(
    payload: bytes, to: int, want_response: bool, view: RecordedView
) -> None:
    """What the mirror cannot answer goes to the radio."""
    view.telemetry = dict.fromkeys(range(10), (NOW, b"fresh"))
    packet = mesh_packet(payload, portnum=PORT.TELEMETRY_APP, to=to, want_response=want_response)
    assert_forwarded(judge(packet, view), packet)


@pytest.mark.parametrize("portnum", [PORT.POSITION_APP, PORT.TELEMETRY_APP])
def test_damaged_payloads(portnum: int, view: RecordedView) -> None:
    """What has to be read to be judged, and cannot be, is refused."""
    packet = mesh_packet(b"\x12\x7f", portnum=portnum, to=view.own, want_response=True)
    assert_refused(
        judge(packet, view, EVERYTHING), RefusalReason.MALFORMED, RoutingError.BAD_REQUEST
    )
