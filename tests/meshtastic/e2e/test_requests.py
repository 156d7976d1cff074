"""What Home Assistant asks of the mesh, over the same road as the phones."""

import asyncio

import pytest

from custom_components.meshmonitor.mesh.model import Node, Position, Telemetry, Traceroute
from custom_components.meshmonitor.mesh.source import (
    OutgoingText,
    RequestKind,
    SendError,
    SendReason,
)
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_faults import OnConnect


def _id(num: int) -> str:
    return f"!{num:08x}"


async def test_a_node_is_asked_for_all_that_it_can_tell(stage: Stage) -> None:
    """Each answer belongs to its question, and the phones see it as well."""
    phone = await stage.phone()
    peer = stage.node.peer(2)
    node_id = _id(peer.num)
    route = await stage.source.request(RequestKind.TRACEROUTE, node_id)
    assert isinstance(route, Traceroute)
    assert [hop.node_id for hop in route.towards] == [*map(_id, peer.route), node_id]
    place = await stage.source.request(RequestKind.POSITION, node_id)
    assert isinstance(place, Position)
    assert peer.position is not None
    assert place.latitude == pytest.approx(peer.position.latitude_i * 1e-7)
    measured = await stage.source.request(RequestKind.TELEMETRY, node_id)
    assert isinstance(measured, Telemetry)
    assert measured.values["battery_level"] == peer.metrics.battery_level
    node = await stage.source.request(RequestKind.NODE_INFO, node_id)
    assert isinstance(node, Node)
    assert node.name == peer.user.long_name
    await stage.settle()
    ports = {p.decoded.portnum for p in phone.packets() if getattr(p, "from") == peer.num}
    assert ports == {
        PORT.TRACEROUTE_APP, PORT.POSITION_APP, PORT.TELEMETRY_APP, PORT.NODEINFO_APP,
    }  # fmt: skip
    assert phone.queue_statuses() == []


async def test_a_node_out_of_reach_is_told_at_once(stage: Stage) -> None:
    """By the radio's own word, long before the time for an answer is over."""
    stage.node.peer(0).silent = True
    with pytest.raises(SendError) as caught:
        await stage.source.request(RequestKind.TRACEROUTE, _id(stage.node.peer(0).num))
    assert caught.value.reason is SendReason.NO_ANSWER
    assert caught.value.detail == "max_retransmit"


async def test_a_question_that_waited_too_long_is_not_asked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The radio takes a trace route each 30 seconds: who has given up needs none."""
    node_id = _id(stage.node.peer(2).num)
    await stage.source.request(RequestKind.TRACEROUTE, node_id)
    with monkeypatch.context() as patch:
        patch.setattr("custom_components.meshmonitor.meshtastic.source.ANSWER_TIMEOUT", 0.05)
        with pytest.raises(SendError) as caught:
            await stage.source.request(RequestKind.TRACEROUTE, node_id)
    assert caught.value.reason is SendReason.NO_ANSWER
    assert stage.source.counters["queue_length"] == 0
    await stage.source.request(RequestKind.POSITION, node_id)
    assert len(stage.node.packets(PORT.TRACEROUTE_APP)) == 1


async def test_an_unknown_node_is_not_asked(stage: Stage) -> None:
    """Nothing goes on the air for it."""
    for node_id in ("!00abcdef", "nonsense"):
        with pytest.raises(SendError) as caught:
            await stage.source.request(RequestKind.POSITION, node_id)
        assert caught.value.reason is SendReason.UNKNOWN_NODE
    assert stage.node.packets() == []


async def test_open_questions_end_with_the_source(stage: Stage) -> None:
    """Nobody waits for an answer that cannot come."""
    stage.node.faults.mute = True
    asked = asyncio.create_task(
        stage.source.request(RequestKind.POSITION, _id(stage.node.peer(0).num))
    )
    await stage.node.wait_for(lambda: stage.node.packets(PORT.POSITION_APP))
    await stage.source.stop()
    with pytest.raises(SendError) as caught:
        await asked
    assert caught.value.reason is SendReason.NOT_CONNECTED


@pytest.mark.parametrize(
    ("outgoing", "reason"),
    [
        (OutgoingText(text=""), SendReason.EMPTY),
        (OutgoingText(text="x" * 201), SendReason.TOO_LONG),
        (OutgoingText(text="x", reply_id="the last one"), SendReason.INVALID_ID),
        (OutgoingText(text="x", channel=7), SendReason.UNKNOWN_CHANNEL),
        (OutgoingText(text="x", recipient_id="!00abcdef"), SendReason.UNKNOWN_NODE),
        (OutgoingText(text="x", recipient_id="nobody"), SendReason.UNKNOWN_NODE),
    ],
)
async def test_a_text_that_cannot_be_sent_is_refused(
    stage: Stage, outgoing: OutgoingText, reason: SendReason
) -> None:
    """Before anything is queued."""
    with pytest.raises(SendError) as caught:
        await stage.source.send_text(outgoing)
    assert caught.value.reason is reason
    assert stage.node.packets() == []


async def test_a_reply_and_a_reaction_refer_to_their_message(stage: Stage) -> None:
    """By the id that phones know it by."""
    phone = await stage.phone()
    heard = await stage.node.say(stage.node.peer(0).num, "how is it?")
    reply_id = f"{heard:08x}"
    await stage.source.send_text(OutgoingText(text="fine", reply_id=reply_id))
    await stage.source.send_text(
        OutgoingText(text="\N{THUMBS UP SIGN}", reply_id=reply_id, is_reaction=True)
    )
    await phone.wait_for(lambda: len(phone.texts()) == 3)
    answers = phone.packets(PORT.TEXT_MESSAGE_APP)[1:]
    assert [(p.decoded.reply_id, p.decoded.emoji) for p in answers] == [(heard, 0), (heard, 1)]


async def test_the_own_node_announces_itself(stage: Stage) -> None:
    """By its own name and key."""
    await stage.source.send_advert(flood=True)
    await stage.node.wait_for(lambda: stage.node.packets(PORT.NODEINFO_APP))
    (packet,) = stage.node.packets(PORT.NODEINFO_APP)
    assert packet.decoded.payload == stage.node.state.user.SerializeToString()


async def test_nothing_is_asked_of_a_radio_that_was_never_read(open_stage: OpenStage) -> None:
    """There is nobody to ask."""
    stage = await open_stage(started=False)
    stage.node.faults.on_connect = OnConnect.BLACK_HOLE
    await stage.source.start()
    with pytest.raises(SendError) as caught:
        await stage.source.request(RequestKind.POSITION, "!12345678")
    assert caught.value.reason is SendReason.NOT_CONNECTED
