"""What Home Assistant asks of the source, and is told by it."""

import asyncio

import pytest

from custom_components.meshmonitor.mesh.model import (
    DeliveryState,
    LinkState,
    Origin,
    Position,
    Telemetry,
    Traceroute,
    Waypoint,
)
from custom_components.meshmonitor.mesh.source import (
    CountersChanged,
    DeliveryChanged,
    MessageReceived,
    NeighborList,
    NodeChanged,
    OutgoingText,
    RequestAnswer,
    RequestKind,
    SendError,
    SendReason,
)
from custom_components.meshmonitor.meshcore import deliveries, leases
from tests.simulators.meshcore_companion import SimulatedCompanion

from .conftest import OpenStage
from .stage import Stage
from .test_checks import post, text_to


def key_of(radio: SimulatedCompanion, name: str) -> str:
    """Return the node id of a peer."""
    return radio.mesh.peer(name).key.hex()


async def test_what_is_known_after_the_start(stage: Stage, radio: SimulatedCompanion) -> None:
    """Identity, nodes, channels."""
    source = stage.source
    assert source.identity is not None
    assert source.identity.node_id == radio.device.settings.public_key.hex()
    assert {node.name for node in source.nodes.values()} == {
        "Hilltop", *(peer.name for peer in radio.mesh.peers.values()),
    }  # fmt: skip
    assert [node.name for node in source.nodes.values() if node.is_own] == ["Hilltop"]
    assert [channel.name for channel in source.channels] == ["Public"]
    assert source.max_text_bytes == 160 - len("Hilltop: ")
    assert all(event.is_new for event in stage.of_kind(NodeChanged)[:6])
    await radio.wait_for(lambda: radio.commands(64))
    await stage.until(
        lambda: source.nodes[source.identity.node_id].telemetry  # type: ignore[union-attr]
    )
    own = source.nodes[source.identity.node_id]
    assert own.telemetry["device"].values["voltage"] == 4.1


async def test_a_direct_text(stage: Stage, radio: SimulatedCompanion) -> None:
    """Delivered, and shown to no phone; its answer is shown to all."""
    app = await stage.app()
    message = await stage.source.send_text(
        OutgoingText(text="ping", recipient_id=key_of(radio, "Bravo"))
    )
    assert (message.origin, message.recipient_id) == (
        Origin.HOME_ASSISTANT,
        key_of(radio, "Bravo"),
    )
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.DELIVERED)
    states = [
        event.delivery.state
        for event in stage.of_kind(DeliveryChanged)
        if event.delivery.message_id == message.message_id
    ]
    assert states == [DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.DELIVERED]
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"pong"]


def _state(stage: Stage, message_id: str) -> DeliveryState | None:
    delivery = stage.source.delivery(message_id)
    return None if delivery is None else delivery.state


async def test_a_channel_text(stage: Stage, radio: SimulatedCompanion) -> None:
    """Every phone sees it, as received from the radio itself."""
    apps = [await stage.app(name="a"), await stage.app(name="b", version=1)]
    message = await stage.source.send_text(OutgoingText(text="grüezi", channel=0))
    for app, offset in zip(apps, (11, 8), strict=True):
        await app.push(0x83)
        (frame,) = await app.drain()
        assert frame[offset:].decode() == "Hilltop: grüezi"
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.SENT)
    (event,) = stage.of_kind(MessageReceived)
    assert event.message == message


async def test_two_texts_in_one_second_are_two(stage: Stage, radio: SimulatedCompanion) -> None:
    """Each has a time of its own, else receivers would take one for a repetition."""
    one = await stage.source.send_text(OutgoingText(text="same", channel=0))
    two = await stage.source.send_text(OutgoingText(text="same", channel=0))
    assert one.message_id != two.message_id
    await radio.wait_for(lambda: len(radio.commands(3)) == 2)
    stamps = [int.from_bytes(frame[3:7], "little") for frame in radio.commands(3)]
    assert stamps[1] == stamps[0] + 1


async def test_a_direct_text_is_sent_again_until_it_is_acknowledged(
    stage: Stage, radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times, with the same time and another attempt; then it has failed, until it has not."""
    monkeypatch.setattr(deliveries, "TIMEOUT_MARGIN", 0.0)
    radio.mesh.timeout_ms = 50
    radio.mesh.peer("Bravo").is_silent = True
    message = await stage.source.send_text(
        OutgoingText(text="anyone?", recipient_id=key_of(radio, "Bravo"))
    )
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.FAILED)
    frames = radio.commands(2)
    assert [frame[2] for frame in frames] == [0, 1, 2]
    assert radio.commands(13) == []
    assert len({frame[3:] for frame in frames}) == 1
    delivery = stage.source.delivery(message.message_id)
    assert delivery is not None
    assert delivery.reason == "no_acknowledgement"
    assert len(stage.of_kind(MessageReceived)) == 1
    assert radio.device.acknowledged(radio.device.acks[-1])
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.DELIVERED)


async def test_the_last_attempt_takes_any_way(
    stage: Stage, radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way that the radio knows to a contact may be broken: apps give it up before the last."""
    monkeypatch.setattr(deliveries, "TIMEOUT_MARGIN", 0.0)
    radio.mesh.timeout_ms = 50
    bravo = radio.mesh.peer("Bravo")
    bravo.is_silent = True
    contact = radio.device.contacts[bravo.key]
    contact.path_len, contact.path = 1, b"\xaa".ljust(64, b"\0")
    radio.inject(b"\x81" + bravo.key)
    await stage.until(lambda: stage.source.nodes[bravo.key.hex()].hops_away == 1)
    message = await stage.source.send_text(
        OutgoingText(text="anyone?", recipient_id=bravo.key.hex())
    )
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.FAILED)
    assert [frame[0] for frame in radio.received if frame[0] in (2, 13)] == [2, 2, 13, 2]
    assert contact.path_len == 0xFF


async def test_a_text_that_is_to_be_sent_again_waits_for_the_radio(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """It is not forgotten because the radio is away at that moment."""
    bravo = radio.mesh.peer("Bravo")
    bravo.is_silent = True
    message = await stage.source.send_text(
        OutgoingText(text="anyone?", recipient_id=bravo.key.hex())
    )
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.SENT)
    await radio.away()
    (awaited,) = stage.source._texts.deliveries._awaited
    awaited.until = 0.0
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.QUEUED)
    bravo.is_silent = False
    await radio.listen(radio.port)
    await stage.until(lambda: _state(stage, message.message_id) is DeliveryState.DELIVERED)
    assert [frame[2] for frame in radio.commands(2)] == [0, 1]


@pytest.mark.parametrize(
    ("outgoing", "reason"),
    [
        (OutgoingText(text="x", channel=3), SendReason.UNKNOWN_CHANNEL),
        (OutgoingText(text="x", channel=99), SendReason.UNKNOWN_CHANNEL),
        (OutgoingText(text="x" * 152, channel=0), SendReason.TOO_LONG),
        (OutgoingText(text="", channel=0), SendReason.EMPTY),
        (OutgoingText(text="x", recipient_id="00" * 32), SendReason.UNKNOWN_NODE),
        (OutgoingText(text="x", recipient_id="no key"), SendReason.UNKNOWN_NODE),
        (OutgoingText(text="x", recipient_id=""), SendReason.UNKNOWN_NODE),
        (OutgoingText(text="x", channel=0, is_reaction=True), SendReason.NOT_SUPPORTED),
    ],
)
async def test_texts_that_cannot_be_sent(
    stage: Stage, outgoing: OutgoingText, reason: SendReason
) -> None:
    """Said at once, and nothing is queued."""
    with pytest.raises(SendError) as caught:
        await stage.source.send_text(outgoing)
    assert caught.value.reason is reason
    assert stage.of_kind(DeliveryChanged) == []


async def test_nothing_is_sent_without_a_radio(stage: Stage, radio: SimulatedCompanion) -> None:
    """Every way of sending says so."""
    await radio.away()
    await stage.until(lambda: stage.source.link.state is not LinkState.READY)
    source, node_id = stage.source, key_of(radio, "Ridge")
    for sending in (
        source.send_text(OutgoingText(text="x", channel=0)),
        source.request(RequestKind.STATUS, node_id),
        source.send_advert(flood=True),
        source.login(node_id, "password"),
    ):
        with pytest.raises(SendError) as caught:
            await sending
        assert caught.value.reason is SendReason.NOT_CONNECTED


async def test_requests(stage: Stage, radio: SimulatedCompanion) -> None:
    """Each kind is answered as what it is, several at once though the radio keeps one."""
    source = stage.source
    ridge, weather = key_of(radio, "Ridge"), key_of(radio, "Weather")
    answers: tuple[RequestAnswer, ...] = await asyncio.gather(
        source.request(RequestKind.STATUS, ridge),
        source.request(RequestKind.TELEMETRY, weather),
        source.request(RequestKind.POSITION, weather),
        source.request(RequestKind.NEIGHBORS, ridge),
        source.request(RequestKind.TRACEROUTE, ridge),
        source.request(RequestKind.TRACEROUTE, key_of(radio, "Charlie 🌲")),
    )
    status, telemetry, position, neighbors, trace, discovery = answers
    assert isinstance(status, Telemetry)
    assert status.values["noise_floor"] == -118
    assert isinstance(telemetry, Telemetry)
    assert telemetry.values["temperature"] == -3.5
    assert isinstance(position, Position)
    assert position.altitude == 432.1
    assert isinstance(neighbors, NeighborList)
    assert neighbors.node_id == ridge
    heard = {hop.node_id: hop.snr for hop in neighbors.neighbors}
    assert heard == {key.hex(): -5.0 for key in radio.mesh.peers if key.hex() != ridge}
    assert isinstance(trace, Traceroute)
    assert [hop.node_id for hop in trace.towards] == [ridge]
    assert isinstance(discovery, Traceroute)
    assert [hop.node_id for hop in discovery.towards] == [
        "aa", "bb", key_of(radio, "Charlie 🌲"),
    ]  # fmt: skip
    node = source.nodes[weather]
    assert node.telemetry["environment"].values["relative_humidity"] == 60.5
    assert node.position is not None
    assert node.position.altitude == 432.1


async def test_the_status_of_a_room(stage: Stage, radio: SimulatedCompanion) -> None:
    """What it counts in place of air time is not taken for that."""
    hall = key_of(radio, "Town Hall")
    status = await stage.source.request(RequestKind.STATUS, hall)
    assert isinstance(status, Telemetry)
    assert (status.values["voltage"], status.values["num_rx_dupe"]) == (3.987, 16)
    assert status.values.keys().isdisjoint(("rx_air_seconds", "num_packets_rx_bad"))
    shown = stage.source.nodes[hall].telemetry["local_stats"].values
    assert shown.keys() <= status.values.keys()


async def test_a_request_without_an_answer(
    stage: Stage, radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends after the radio's own estimate."""
    monkeypatch.setattr("custom_components.meshmonitor.meshcore.requests.TIMEOUT_MARGIN", 0.0)
    monkeypatch.setattr(leases, "TIMEOUT_MARGIN", 0.0)
    radio.mesh.timeout_ms = 50
    radio.mesh.peer("Ridge").is_silent = True
    for kind in (RequestKind.STATUS, RequestKind.NEIGHBORS, RequestKind.TELEMETRY):
        with pytest.raises(SendError) as caught:
            await stage.source.request(kind, key_of(radio, "Ridge"))
        assert caught.value.reason is SendReason.NO_ANSWER
    with pytest.raises(SendError) as caught:
        await stage.source.request(RequestKind.NODE_INFO, key_of(radio, "Ridge"))
    assert caught.value.reason is SendReason.NOT_SUPPORTED


async def test_login_and_advert(stage: Stage, radio: SimulatedCompanion) -> None:
    """A wrong password is refused by the other node."""
    await stage.source.login(key_of(radio, "Ridge"), "password")
    assert radio.mesh.peer("Ridge").key in radio.device.connections
    with pytest.raises(SendError) as caught:
        await stage.source.login(key_of(radio, "Ridge"), "wrong")
    assert caught.value.reason is SendReason.LOGIN_FAILED
    await stage.source.send_advert(flood=True)
    await stage.source.send_advert(flood=False)
    assert radio.commands(7) == [b"\x07\x01", b"\x07\x00"]
    with pytest.raises(SendError) as caught:
        await stage.source.send_waypoint(
            Waypoint(waypoint_id="", name="x", latitude=1, longitude=1), channel=0
        )
    assert caught.value.reason is SendReason.NOT_SUPPORTED


async def test_own_requests_are_seen_by_no_phone(stage: Stage, radio: SimulatedCompanion) -> None:
    """Their answers are for who asked."""
    app = await stage.app()
    await stage.source.request(RequestKind.STATUS, key_of(radio, "Ridge"))
    assert app.count(0x87) == 0


async def test_hot_swap(stage: Stage, radio: SimulatedCompanion) -> None:
    """Enabled and disabled without touching the link."""
    connections = radio.connections
    app = await stage.app()
    await stage.source.apply_virtual_node(stage.options(enabled=False))
    await app.until(lambda: app.is_closed)
    assert not stage.source.virtual_node.is_running
    await stage.source.apply_virtual_node(stage.options())
    again = await stage.app()
    assert len((await again.contacts())[1:-1]) == 5
    assert radio.connections == connections


async def test_counters_move(stage: Stage, radio: SimulatedCompanion) -> None:
    """And what was refused is counted by its reason."""
    app = await stage.app()
    await app.ask(b"\x17")
    await app.ask(b"\x08Other")
    await app.ask(b"\x63")
    assert stage.source.counters["refused_private_key_never_exported"] == 1
    assert stage.source.counters["refused_admin_not_allowed"] == 1
    assert stage.source.counters["refused_unknown_command"] == 1
    before = len(stage.of_kind(CountersChanged))
    await stage.until(lambda: len(stage.of_kind(CountersChanged)) > before)


async def test_what_went_on_the_air_is_counted(stage: Stage, radio: SimulatedCompanion) -> None:
    """Whoever sent it: neither what the radio refused, nor what it only was asked."""
    source, app = stage.source, await stage.app()
    assert source.counters["sent"] == 0
    assert await app.ask(text_to(radio, "Bravo", b"one")) != b"\x01\x02"
    assert await app.ask(post(b"two")) == b"\x00"
    await source.send_text(OutgoingText(text="three"))
    await source.send_advert(flood=False)
    await source.request(RequestKind.STATUS, radio.mesh.peer("Ridge").key.hex())
    assert source.counters["sent"] == 5
    assert await app.ask(b"\x02\x00\x00" + bytes(4) + b"nobody" + b"four") == b"\x01\x02"
    app.send(b"\x27\0\0\0")
    await app.push(0x8B)
    await app.ask(b"\x3c")
    await app.ask(b"\x0d" + radio.mesh.peer("Ridge").key)
    assert source.counters["sent"] == len(radio.mesh.transmissions) == 5


async def test_two_sources_side_by_side(
    stage: Stage, socket_enabled: None, open_stage: OpenStage
) -> None:
    """Each with its own radio and apps."""
    async with SimulatedCompanion() as other_radio:
        other_radio.device.settings.name = "Other"
        other = await open_stage(other_radio)
        one, two = await stage.app(), await other.app()
        assert (one.replies[1][58:], two.replies[1][58:]) == (b"Hilltop", b"Other")
        await other.stop()
