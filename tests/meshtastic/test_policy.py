"""What becomes of all that is no administration."""

from pathlib import Path
from typing import Final

from hypothesis import given, strategies as st
from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import client_frame, wire
from custom_components.meshmonitor.meshtastic.decision import (
    REFUSALS,
    Answer,
    AnswerHeartbeat,
    Close,
    Decision,
    Fetch,
    Forward,
    ForwardMqttProxy,
    ForwardXmodem,
    Ignore,
    RefusalReason,
    Refuse,
    ReplayConfig,
    RoutingError,
    Swallow,
)
from custom_components.meshmonitor.meshtastic.policy import ClientRights, decide
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

from .judging import (
    EVERYTHING,
    FOREIGN,
    NOTHING,
    NOW,
    REMOTE,
    assert_forwarded,
    assert_refused,
    judge,
)
from .phone import BROADCAST, NO_LORA, PORT, mesh_packet, to_radio
from .view import RecordedView


@pytest.fixture
def view() -> RecordedView:
    """Return a radio that stands still."""
    return RecordedView.recorded()


@pytest.mark.parametrize(
    ("payload", "decision"),
    [
        pytest.param("18ac9e04", ReplayConfig(69420), id="only the configuration"),
        pytest.param("1800", ReplayConfig(0), id="nonce 0"),
        pytest.param("3a00", AnswerHeartbeat(), id="heartbeat"),
        pytest.param("3a020801", AnswerHeartbeat(), id="heartbeat that would transmit"),
        pytest.param("3a020807", AnswerHeartbeat(), id="heartbeat with another nonce"),
        pytest.param("2001", Close(), id="disconnect"),
        pytest.param("", Ignore("empty message"), id="empty"),
        pytest.param("4201", Ignore("field is cut off"), id="damaged"),
    ],
)
@pytest.mark.parametrize("rights", [NOTHING, EVERYTHING], ids=["no right", "every right"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_variants(payload: str, decision: Decision, rights: ClientRights, known: bool) -> None:
    """What is no packet is answered here, whatever is known and whoever asks."""
    view = RecordedView.recorded() if known else RecordedView()
    assert decide(client_frame.parse(bytes.fromhex(payload)), view, rights, NOW) == decision


@pytest.mark.parametrize(
    ("rights", "passes"),
    [
        (NOTHING, False),
        (ClientRights(admin=True), False),
        (ClientRights(destructive=True), False),
        (ClientRights(admin=True, destructive=True), True),
    ],
)
def test_file_transfer(rights: ClientRights, passes: bool, view: RecordedView) -> None:
    """The radio's files hold its private key."""
    raw = bytes.fromhex("2a0408011a00")
    decision = decide(client_frame.parse(raw), view, rights, NOW)
    if passes:
        assert decision == ForwardXmodem(raw)
    else:
        assert isinstance(decision, Refuse)
        assert (decision.packet, decision.reason) == (None, RefusalReason.FILE_TRANSFER)


def test_mqtt_proxy(view: RecordedView) -> None:
    """One client carries the MQTT traffic, whatever the others may do."""
    raw = bytes.fromhex("32050a03616263")
    frame = client_frame.parse(raw)
    assert decide(frame, view, ClientRights(mqtt_delegate=True), NOW) == ForwardMqttProxy(raw)
    decision = decide(frame, view, ClientRights(admin=True, destructive=True), NOW)
    assert isinstance(decision, Refuse)
    assert (decision.packet, decision.reason) == (None, RefusalReason.MQTT_PROXY)


@pytest.mark.parametrize(
    "portnum",
    [
        PORT.TEXT_MESSAGE_APP,
        PORT.ROUTING_APP,
        PORT.WAYPOINT_APP,
        PORT.ALERT_APP,
        PORT.STORE_FORWARD_APP,
        PORT.NEIGHBORINFO_APP,
        PORT.ATAK_PLUGIN,
        PORT.PRIVATE_APP,
        37,
        300,
        1000,
    ],
)
@pytest.mark.parametrize("to", [BROADCAST, NO_LORA, REMOTE, 0x0A000001])
def test_traffic_passes(portnum: int, to: int, view: RecordedView) -> None:
    """All traffic of the mesh goes to the radio as it came, also what is newer than the schema."""
    packet = mesh_packet(b"\x08\x01", to=to, channel=3, want_response=True)
    raw = packet.SerializeToString()
    data = wire.replace_field(
        packet.decoded.SerializeToString(), 1, wire.varint_field(1, portnum)
    ) + wire.bytes_field(50, b"newer")
    raw = wire.replace_field(raw, 4, wire.bytes_field(4, data)) + wire.varint_field(12, 0)
    decision = decide(client_frame.parse(wire.bytes_field(1, raw)), view, NOTHING, NOW)
    assert isinstance(decision, Forward)
    assert decision.packet.raw == raw
    assert decision.packet.portnum == portnum
    assert (decision.mutates, decision.lends_position) == (False, False)


def test_sender(view: RecordedView) -> None:
    """A client speaks as its node, by number or by leaving that out, and as nobody else."""
    for sender in (0, view.own):
        packet = mesh_packet(sender=sender)
        assert_forwarded(judge(packet, view), packet)
    for sender in (FOREIGN, NO_LORA, BROADCAST):
        assert_refused(
            judge(mesh_packet(sender=sender), view, EVERYTHING),
            RefusalReason.FOREIGN_SENDER,
            RoutingError.BAD_REQUEST,
        )


def test_nobody_is_addressed(view: RecordedView) -> None:
    """A packet to 0 goes nowhere."""
    assert_refused(
        judge(mesh_packet(to=0), view, EVERYTHING),
        RefusalReason.NO_DESTINATION,
        RoutingError.BAD_REQUEST,
    )


@pytest.mark.parametrize("to", [BROADCAST, NO_LORA, REMOTE, 0x0A000001])
def test_encrypted(to: int, view: RecordedView) -> None:
    """What nobody here can read is not passed on to a radio that can."""
    packet = mesh_pb2.MeshPacket(to=to, id=5, channel=8, encrypted=b"\x01\x02\x03")
    assert_refused(
        judge(packet, view, EVERYTHING), RefusalReason.ENCRYPTED, RoutingError.NOT_AUTHORIZED
    )


@pytest.mark.parametrize("to", [BROADCAST, NO_LORA, REMOTE, 0x0A000001])
def test_simulator(to: int, view: RecordedView) -> None:
    """Nobody puts words into the receiver."""
    packet = mesh_packet(portnum=PORT.SIMULATOR_APP, to=to)
    assert_refused(
        judge(packet, view, EVERYTHING), RefusalReason.SIMULATOR, RoutingError.BAD_REQUEST
    )


@pytest.mark.parametrize("to", [BROADCAST, NO_LORA, REMOTE, 0x0A000001])
@pytest.mark.parametrize(
    ("portnum", "destroys"),
    [(PORT.REMOTE_HARDWARE_APP, False), (13, True), (PORT.POWERSTRESS_APP, True), (79, True)],
)
def test_commands_beside_administration(
    portnum: int, destroys: bool, to: int, view: RecordedView
) -> None:
    """Pins, a shell, sleep and firmware: the radio obeys its client there as in administration."""
    packet = mesh_packet(b"\x08\x01", to=to, want_response=True)
    data = wire.replace_field(packet.decoded.SerializeToString(), 1, wire.varint_field(1, portnum))
    raw = wire.replace_field(packet.SerializeToString(), 4, wire.bytes_field(4, data))
    frame = client_frame.parse(wire.bytes_field(1, raw))
    for rights in (NOTHING, ClientRights(destructive=True)):
        assert_refused(
            decide(frame, view, rights, NOW),
            RefusalReason.ADMIN_NOT_ALLOWED,
            RoutingError.NOT_AUTHORIZED,
        )
    as_admin = decide(frame, view, ClientRights(admin=True), NOW)
    if destroys:
        assert_refused(as_admin, RefusalReason.DESTRUCTIVE_NOT_ALLOWED, RoutingError.NOT_AUTHORIZED)
    for decision in (decide(frame, view, EVERYTHING, NOW), *(() if destroys else (as_admin,))):
        assert isinstance(decision, Forward)
        assert decision.packet.raw == raw
        assert not decision.mutates


def test_before_the_identity_is_known() -> None:
    """Without the radio's number nothing can be judged, so nothing passes."""
    for portnum in (PORT.TEXT_MESSAGE_APP, PORT.ADMIN_APP, PORT.NODEINFO_APP):
        assert_refused(
            judge(mesh_packet(portnum=portnum), RecordedView(), EVERYTHING),
            RefusalReason.NOT_READY,
            RoutingError.NO_INTERFACE,
        )


def test_too_large(view: RecordedView) -> None:
    """What the radio would drop without a word is refused with one."""
    assert_refused(
        judge(mesh_packet(b"x" * 234), view), RefusalReason.TOO_LARGE, RoutingError.TOO_LARGE
    )
    packet = mesh_packet(b"x" * 233)
    assert_forwarded(judge(packet, view), packet)


@pytest.mark.parametrize("to", [BROADCAST, NO_LORA])
def test_traceroute_to_all(to: int, view: RecordedView) -> None:
    """A traceroute to everyone goes as far as the neighbours, as the firmware has it."""
    far = mesh_packet(b"", portnum=PORT.TRACEROUTE_APP, to=to, hop_limit=1)
    assert_refused(judge(far, view), RefusalReason.TRACEROUTE_BROADCAST, RoutingError.BAD_REQUEST)
    near = mesh_packet(b"", portnum=PORT.TRACEROUTE_APP, to=to, hop_limit=0)
    assert_forwarded(judge(near, view), near)


def test_traceroute_to_one(view: RecordedView) -> None:
    """A traceroute to one node passes."""
    packet = mesh_packet(b"", portnum=PORT.TRACEROUTE_APP, to=REMOTE, hop_limit=7)
    assert_forwarded(judge(packet, view), packet)


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
def test_recorded_client(path: Path) -> None:
    """A real client without rights does all it did, but for changing settings."""
    view = RecordedView.recorded(path)
    names = []
    for entry in read_recording(path):
        if entry.sender == "client" and entry.kind == "frame":
            decision = decide(client_frame.parse(entry.data), view, NOTHING, NOW)
            names.append(type(decision).__name__)
            if isinstance(decision, Forward):
                assert wire.bytes_field(1, decision.packet.raw) == entry.data
    traffic = ["Forward"] * 6
    # Owner, channel, LoRa, MQTT and metadata are in the dump; canned messages, ringtone and
    # connection status are not; the user interface is. Then time and owner are set.
    reads = ["Answer"] * 5 + ["Fetch"] * 3 + ["Answer"]
    assert names == [
        *("ReplayConfig", "AnswerHeartbeat", *traffic, *reads, "Swallow", "Refuse"),
        *(["Forward"] * 3),
        *(["ReplayConfig"] * 5),
    ]


def test_every_reason_has_its_words() -> None:
    """Each refusal is said in the protocol's own words and in a sentence that fits its field."""
    assert set(REFUSALS) == set(RefusalReason)
    for error, text in REFUSALS.values():
        assert error is not RoutingError.NONE
        assert len(text.encode()) < 120
    assert [reason for reason, (_, text) in REFUSALS.items() if not text] == [
        RefusalReason.TIME_ZONE
    ]
    assert {error.name: error.value for error in RoutingError} == dict(
        mesh_pb2.Routing.Error.items()
    )


RIGHTS: Final = st.builds(
    ClientRights,
    admin=st.booleans(),
    destructive=st.booleans(),
    mqtt_delegate=st.booleans(),
    position=st.booleans(),
    secrets=st.booleans(),
)
RECORDED: Final = RecordedView.recorded()
PACKETS: Final = st.builds(
    mesh_packet,
    st.binary(max_size=233),
    portnum=st.sampled_from([1, 3, 4, 6, 6, 6, 67, 69, 70]),
    sender=st.sampled_from([0, RECORDED.own, FOREIGN]),
    to=st.sampled_from([RECORDED.own, REMOTE, BROADCAST, NO_LORA, 0]),
    want_response=st.booleans(),
).map(to_radio)


@given(PACKETS | st.binary(max_size=512), RIGHTS, st.booleans())
def test_any_bytes(payload: bytes, rights: ClientRights, known: bool) -> None:
    """Whatever comes is decided; without rights nothing changes a radio or its files."""
    view = RECORDED if known else RecordedView()
    decision = decide(client_frame.parse(payload), view, rights, NOW)
    if isinstance(decision, Forward):
        assert known
        assert decision.packet.violations == frozenset()
        if decision.packet.portnum == PORT.ADMIN_APP:
            assert rights.admin
        assert not decision.mutates or rights.admin
    if isinstance(decision, ForwardXmodem):
        assert rights.destructive
    if isinstance(decision, Answer | Fetch | Swallow):
        assert decision.packet.destination in {RECORDED.own, NO_LORA}
