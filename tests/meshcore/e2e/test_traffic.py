"""What apps see of the mesh and of each other."""

from collections.abc import Callable

import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState, Origin
from custom_components.meshmonitor.mesh.source import (
    ChannelsChanged,
    DeliveryChanged,
    IdentityChanged,
    MessageReceived,
    NodeChanged,
    NodeRemoved,
)
from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion
from tests.simulators.meshcore_mesh import Peer

from .conftest import OpenStage
from .stage import Stage
from .test_checks import post, text_to

OK = b"\x00"


async def test_the_greeting(stage: Stage, radio: SimulatedCompanion) -> None:
    """The radio's own bytes, without the PIN; the radio is not asked."""
    await radio.wait_for(lambda: radio.commands(64))
    asked = len(radio.received)
    app = await stage.app()
    device, own = app.replies
    assert own == radio.device.settings.self_info()
    assert (len(device), device[0], device[1], device[4:8]) == (82, 13, 13, bytes(4))
    frames = await app.contacts()
    assert frames[1:-1] == [contact.frame() for contact in radio.device.contacts.values()]
    assert frames[0] == b"\x02\x05\x00\x00\x00"
    assert (await app.ask(b"\x1f\x00"))[2:9] == b"Public\0"
    assert await app.ask(b"\x1f\x08") == b"\x01\x02"
    assert (await app.ask(b"\x14"))[1:3] == (4100).to_bytes(2, "little")
    assert len(radio.received) == asked


async def test_since_is_honoured(stage: Stage, radio: SimulatedCompanion) -> None:
    """As the radio itself does: strictly newer, total in the count, newest of those sent."""
    app = await stage.app()
    lastmods = [contact.lastmod for contact in radio.device.contacts.values()]
    frames = await app.contacts(since=lastmods[3])
    assert [frame[0] for frame in frames] == [2, 3, 4]
    assert frames[0][1] == 5
    assert int.from_bytes(frames[2][1:5], "little") == lastmods[4]
    assert (await app.contacts(since=lastmods[4]))[1:] == [b"\x04" + bytes(4)]


async def test_a_message_that_waits_is_told_after_the_greeting(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """For who was away; the radio was asked once, and keeps nothing."""
    app = await stage.app(name="phone")
    await app.close()
    await stage.until(lambda: not stage.source.virtual_node.clients)
    radio.mesh.say("Bravo", "while away")
    await stage.until(lambda: stage.of_kind(MessageReceived))
    back = await stage.app(name="phone")
    await back.push(0x83)
    assert [frame[16:] for frame in await back.drain()] == [b"while away"]
    again = await stage.app(name="another")
    assert await again.drain() == []
    assert radio.device.inbox.frames == []


async def test_messages_from_before_the_connection_are_collected(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """What the radio kept while nobody was there."""
    radio.mesh.say("Bravo", "one")
    radio.mesh.post("Bravo", "two")
    stage = await open_stage(radio)
    await stage.until(lambda: len(stage.of_kind(MessageReceived)) == 2)
    texts = [event.message.text for event in stage.of_kind(MessageReceived)]
    assert texts == ["one", "two"]


async def test_a_retry_is_shown_once(stage: Stage, radio: SimulatedCompanion) -> None:
    """A sender that missed the acknowledgement sends the same again."""
    app = await stage.app()
    for _ in range(3):
        radio.mesh.say("Bravo", "again and again", stamp=77)
    radio.mesh.say("Bravo", "last", stamp=78)
    await stage.until(lambda: len(stage.of_kind(MessageReceived)) == 2)
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"again and again", b"last"]
    assert stage.source.counters["packets_repeated"] == 2


async def test_unknown_items_of_the_inbox_reach_the_apps(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Newer firmware has kinds of message that nobody here knows."""
    app = await stage.app()
    radio.device.queue(b"\x1e\x01\x02\x03")
    radio.device.queue(b"\x1b\x20\0\0\x00\x01\x05\x00\x01x")
    radio.mesh.say("Bravo", "known")
    await app.push(0x83, 3)
    assert [frame[0] for frame in await app.drain()] == [0x1E, 0x1B, 0x10]


async def test_what_one_app_posts_the_others_see(stage: Stage, radio: SimulatedCompanion) -> None:
    """Not itself; and not again when it comes back over the air."""
    sender, other = await stage.app(name="sender"), await stage.app(name="other", version=1)
    assert await sender.ask(post(b"hello", stamp=1234)) == OK
    await other.push(0x83)
    expected = b"\x08\x00\x00\x00" + (1234).to_bytes(4, "little") + b"Hilltop: hello"
    assert await other.drain() == [expected]
    radio.mesh.post("Hilltop", "hello", stamp=1234)
    radio.mesh.post("Hilltop", "hello", stamp=1235)
    await other.push(0x83, 2)
    assert len(await other.drain()) == 1
    await sender.push(0x83)
    assert len(await sender.drain()) == 1
    (mine, _) = (event.message for event in stage.of_kind(MessageReceived))
    assert (mine.origin, mine.text, mine.client) == (Origin.PHONE, "hello", "sender")


async def test_a_post_that_the_radio_refuses_is_not_shown(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """There is no such channel."""
    sender, other = await stage.app(name="sender"), await stage.app(name="other")
    assert await sender.ask(post(b"hello", channel=9)) == b"\x01\x02"
    assert await other.drain() == []
    (state,) = {event.delivery.state for event in stage.of_kind(DeliveryChanged)[1:]}
    assert state is DeliveryState.FAILED
    assert stage.of_kind(MessageReceived) == []


async def test_direct_texts_reach_home_assistant(stage: Stage, radio: SimulatedCompanion) -> None:
    """With every state, whoever sent them; attempt and time as the app chose them."""
    app = await stage.app(name="phone")
    command = b"\x02\x00\x02" + (99).to_bytes(4, "little") + radio.mesh.peer("Bravo").key[:6]
    assert (await app.ask(command + b"hi"))[0] == 6
    await app.push(0x82)
    assert radio.commands(2) == [command + b"hi"]
    states = [event.delivery.state for event in stage.of_kind(DeliveryChanged)]
    assert states == [DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.DELIVERED]
    (event,) = stage.of_kind(MessageReceived)
    assert stage.of_kind(DeliveryChanged)[0].message == event.message
    assert event.message.recipient_id == radio.mesh.peer("Bravo").key.hex()
    assert (event.message.origin, event.message.text) == (Origin.PHONE, "hi")


async def test_each_app_has_its_own_flood_scope(stage: Stage, radio: SimulatedCompanion) -> None:
    """The radio has one for all: it is set around what each app sends."""
    first, second = await stage.app(name="a"), await stage.app(name="b")
    key = bytes(range(16))
    assert await first.ask(b"\x36\x00" + key) == OK
    assert radio.commands(54) == []
    assert await first.ask(post(b"scoped", 1)) == OK
    assert await second.ask(post(b"default", 2)) == OK
    assert await first.ask(b"\x36\x01") == OK
    assert await first.ask(post(b"unscoped", 3)) == OK
    assert (await second.ask(text_to(radio, "Bravo", b"default too")))[0] == 6
    assert [sent.scope for sent in radio.mesh.transmissions] == [key, bytes(16), None, bytes(16)]


async def test_a_known_contact_that_advertises_is_read_before_apps_are_told(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """So that an app which asks at once gets the new state."""
    app = await stage.app()
    radio.mesh.peer("Bravo").latitude = 48_000_000
    radio.mesh.advertise("Bravo")
    push = await app.push(0x80)
    assert push[1:] == radio.mesh.peer("Bravo").key
    contact = await app.ask(b"\x1e" + push[1:])
    assert contact == radio.device.contacts[push[1:]].frame()
    assert int.from_bytes(contact[136:140], "little") == 48_000_000
    await stage.until(
        lambda: any(
            event.node.position and event.node.position.latitude == 48.0
            for event in stage.of_kind(NodeChanged)
        )
    )
    node = stage.source.nodes[push[1:].hex()]
    assert (node.snr, node.rssi) == (8.0, -70)


async def test_who_writes_was_heard(stage: Stage, radio: SimulatedCompanion) -> None:
    """The radio notes it at its contact, so an app that asks what is new is told of it, too."""
    app = await stage.app()
    key = radio.mesh.peer("Bravo").key
    before = stage.source.nodes[key.hex()].last_heard or 0
    newest = max(contact.lastmod for contact in radio.device.contacts.values())
    radio.mesh.say("Bravo", "here")
    await stage.until(lambda: (stage.source.nodes[key.hex()].last_heard or 0) > before)
    assert [frame[1:33] for frame in (await app.contacts(since=newest))[1:-1]] == [key]
    assert stage.source.nodes[key.hex()].last_heard == radio.device.contacts[key].lastmod


async def test_new_contacts_appear(stage: Stage, radio: SimulatedCompanion) -> None:
    """One that the radio added by itself is pushed like a known one."""
    app = await stage.app()
    peer = Peer(name="Newcomer")
    radio.mesh.peers[peer.key] = peer
    radio.mesh.advertise("Newcomer")
    await app.push(0x80)
    assert (await app.contacts())[0][1] == 6
    assert stage.source.nodes[peer.key.hex()].name == "Newcomer"
    added = [event for event in stage.of_kind(NodeChanged) if event.node.name == "Newcomer"]
    assert [event.is_new for event in added] == [True]


async def test_contacts_that_are_not_added_are_only_pushed(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """The radio keeps them out of its list, and so do we."""
    radio.device.settings.manual_add = 1
    app = await stage.app()
    peer = Peer(name="Newcomer")
    radio.mesh.peers[peer.key] = peer
    radio.mesh.advertise("Newcomer")
    assert (await app.push(0x8A))[1:33] == peer.key
    assert (await app.contacts())[0][1] == 5
    assert await app.ask(b"\x1e" + peer.key) == b"\x01\x02"


async def test_an_overwritten_contact_goes(open_stage: OpenStage, socket_enabled: None) -> None:
    """The radio makes room for a new one."""
    async with SimulatedCompanion(CompanionConfig(max_contacts=5)) as radio:
        radio.device.settings.autoadd = 1
        stage = await open_stage(radio)
        app = await stage.app()
        oldest = next(iter(radio.device.contacts))
        peer = Peer(name="Newcomer")
        radio.mesh.peers[peer.key] = peer
        radio.mesh.advertise("Newcomer")
        assert (await app.push(0x8F))[1:] == oldest
        await app.push(0x80)
        keys = {frame[1:33] for frame in (await app.contacts())[1:-1]}
        assert keys == set(radio.device.contacts)
        assert [event.node_id for event in stage.of_kind(NodeRemoved)] == [oldest.hex()]
        await stage.stop()


async def test_raw_reception_has_a_switch(stage: Stage, radio: SimulatedCompanion) -> None:
    """It is much, and not every network wants to carry it; the link is not touched."""
    app = await stage.app()
    radio.inject(b"\x88\x20\xbaraw")
    assert await app.push(0x88) == b"\x88\x20\xbaraw"
    connections = radio.connections
    await stage.source.apply_virtual_node(stage.options(raw_reception=False))
    radio.inject(b"\x88\x20\xbaraw")
    radio.inject(b"\x8e\x20\xba\x00control")
    radio.inject(b"\xaaunknown")
    assert await app.push(0xAA) == b"\xaaunknown"
    assert app.count(0x88) == app.count(0x8E) == 1
    assert radio.connections == connections


async def test_the_time_is_ours_to_set(stage: Stage, radio: SimulatedCompanion) -> None:
    """An app may ask for it and may set it, and moves nothing."""
    app = await stage.app()
    before = radio.device.now
    assert await app.ask(b"\x06" + (5).to_bytes(4, "little")) == OK
    assert await app.ask(b"\x06" + (2**31).to_bytes(4, "little")) == OK
    assert abs(radio.device.now - before) <= 2
    shown = int.from_bytes((await app.ask(b"\x05"))[1:5], "little")
    assert abs(shown - radio.device.now) <= 1


async def test_a_clock_that_is_behind_is_set(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """Boards without a clock of their own begin in the past; one that is ahead stays."""
    radio.device.set_clock(1_715_770_351)
    await open_stage(radio)
    assert abs(radio.device.now - radio.device.clock()) <= 2
    radio.device.set_clock(int(radio.device.clock()) + 5000)
    sets = len(radio.commands(6))
    stage = await open_stage(radio)
    assert len(radio.commands(6)) == sets
    app = await stage.app()
    shown = int.from_bytes((await app.ask(b"\x05"))[1:5], "little")
    assert abs(shown - radio.device.now) <= 2


CHANGES: dict[str, tuple[bytes, Callable[[SimulatedCompanion], object], object]] = {
    "name": (b"\x08Other", lambda radio: radio.device.settings.name, "Other"),
    "power": (b"\x0c\x05", lambda radio: radio.device.settings.tx_power, 5),
    "tuning": (b"\x15" + bytes(8), lambda radio: radio.device.settings.airtime, 0),
    "auto-add": (b"\x3a\x1f", lambda radio: radio.device.settings.autoadd, 0x1F),
    "channel": (
        b"\x20\x02" + b"#new".ljust(32, b"\0") + b"k" * 16,
        lambda radio: radio.device.channels[2],
        (b"#new", b"k" * 16),
    ),
}


@pytest.mark.parametrize(("command", "state", "value"), CHANGES.values(), ids=CHANGES)
async def test_administration(
    radio: SimulatedCompanion,
    open_stage: OpenStage,
    command: bytes,
    state: Callable[[SimulatedCompanion], object],
    value: object,
) -> None:
    """Refused without permission; with it, all see the change, and the same again is no change."""
    stage = await open_stage(radio)
    app, other = await stage.app(name="a"), await stage.app(name="b")
    before = state(radio)
    assert await app.ask(command) == b"\x01\x01"
    assert state(radio) == before
    await stage.source.apply_virtual_node(stage.options(allow_admin_commands=True))
    assert await app.ask(command) == OK
    assert state(radio) == value
    executed = len(radio.commands(command[0]))
    assert await other.ask(command) == OK
    assert len(radio.commands(command[0])) == executed
    assert not app.is_closed


async def test_a_changed_name_and_channel_reach_home_assistant(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """As events, and in what is served."""
    stage = await open_stage(radio, allow_admin_commands=True)
    app = await stage.app()
    channels = len(stage.of_kind(ChannelsChanged))
    app.send(b"\x08Other", b"\x01\x03      app", CHANGES["channel"][0])
    ok, own, _ = await app.take(3)
    assert (ok, own[58:]) == (OK, b"Other")
    assert stage.of_kind(IdentityChanged)[-1].identity.name == "Other"
    assert [channel.name for channel in stage.source.channels] == ["Public", "#new"]
    assert len(stage.of_kind(ChannelsChanged)) == channels + 1


async def test_contacts_have_their_own_switch(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """Removing one is seen by all, at once."""
    stage = await open_stage(radio, share_contacts=True)
    app, other = await stage.app(name="a"), await stage.app(name="b")
    key = radio.mesh.peer("Bravo").key
    assert await app.ask(b"\x0f" + key) == OK
    assert key not in radio.device.contacts
    assert (await other.contacts())[0][1] == 4
    assert await app.ask(b"\x08Other") == b"\x01\x01"


async def test_factory_reset_and_key_import_need_the_second_option(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """Administration alone is not enough."""
    stage = await open_stage(radio, allow_admin_commands=True)
    app = await stage.app()
    assert await app.ask(b"\x33reset") == b"\x01\x01"
    assert await app.ask(b"\x18" + bytes(64)) == b"\x0f"
    assert radio.device.contacts
    await stage.source.apply_virtual_node(
        stage.options(allow_admin_commands=True, allow_destructive_commands=True)
    )
    assert await app.ask(b"\x18" + bytes(64)) == OK


async def test_adverts_are_limited_for_all_together(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """The whole mesh repeats each of them."""
    first, second = await stage.app(name="a"), await stage.app(name="b")
    answers = [await (first, second)[number % 2].ask(b"\x07\x01") for number in range(8)]
    assert answers == [OK] * 6 + [b"\x01\x04"] * 2
    assert len(radio.commands(7)) == 6
    assert stage.source.counters["refused_too_many_adverts"] == 2


async def test_traces_and_discoveries_come_to_their_asker(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """By tag and by key."""
    first, second = await stage.app(name="a"), await stage.app(name="b")
    ridge = radio.mesh.peer("Ridge").key
    assert (await first.ask(b"\x24TAG1AUTH\x00" + ridge[:1]))[2:6] == b"TAG1"
    assert (await second.ask(b"\x24TAG2AUTH\x00" + ridge[:1]))[2:6] == b"TAG2"
    assert (await first.push(0x89))[4:8] == b"TAG1"
    assert (await second.push(0x89))[4:8] == b"TAG2"
    await second.ask(b"\x34\x00" + ridge)
    assert (await second.push(0x8D))[2:8] == ridge[:6]
    tag = (await first.ask(b"\x39" + ridge + b"\x01hi"))[2:6]
    assert (await first.push(0x8C))[2:6] == tag
    assert first.count(0x8D) == second.count(0x8C) == 0


async def test_signing_is_exclusive(radio: SimulatedCompanion, open_stage: OpenStage) -> None:
    """Where it is allowed: one signature at a time."""
    stage = await open_stage(radio, allow_signing=True)
    first, second = await stage.app(name="a"), await stage.app(name="b")
    assert (await first.ask(b"\x21"))[0] == 19
    second.send(b"\x21")
    assert await first.ask(b"\x22data") == OK
    signature = await first.ask(b"\x23")
    assert (signature[0], len(signature)) == (20, 65)
    assert (await second.take())[0][0] == 19


async def test_a_message_that_another_interface_fetched(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Firmware with several interfaces sends every answer to all of them."""
    app = await stage.app()
    radio.inject(
        b"\x10\x20\0\0" + radio.mesh.peer("Bravo").key[:6] + b"\x01\x00" + bytes(4) + b"hi"
    )
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"hi"]


@pytest.mark.parametrize("keeps", [True, False])
async def test_messages_wait_for_an_app_that_was_here_unless_that_is_turned_off(
    radio: SimulatedCompanion, open_stage: OpenStage, keeps: bool
) -> None:
    """What comes while it is there is its own in any case."""
    stage = await open_stage(radio, keep_missed_messages=keeps)
    app = await stage.app()
    await app.drain()
    await app.close()
    await stage.until(lambda: not stage.source.virtual_node.clients)
    radio.device.inbox.put(b"\x08\x00\x01\x00" + bytes(4) + b"Bravo: missed")
    radio.inject(b"\x83")
    await stage.until(lambda: stage.of_kind(MessageReceived))
    back = await stage.app()
    radio.device.inbox.put(b"\x08\x00\x01\x00" + bytes(3) + b"\x01Bravo: seen")
    radio.inject(b"\x83")
    await stage.until(lambda: len(stage.of_kind(MessageReceived)) == 2)
    texts = [frame.partition(b"Bravo: ")[2] for frame in await back.drain()]
    assert texts == ([b"missed", b"seen"] if keeps else [b"seen"])


async def test_the_radio_is_looked_after(
    radio: SimulatedCompanion, open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue, battery and clock are looked at from time to time, also where no push came."""
    for name in ("COLLECT_INTERVAL", "FIGURES_INTERVAL", "CLOCK_INTERVAL", "_TICK"):
        monkeypatch.setattr(f"custom_components.meshmonitor.meshcore.radio.{name}", 0.05)
    stage = await open_stage(radio)
    radio.device.battery_mv = 3700
    radio.device.inbox.put(b"\x08\x00\x01\x00" + bytes(4) + b"Bravo: without a push")
    await stage.until(lambda: stage.of_kind(MessageReceived))
    own = radio.device.settings.public_key.hex()
    await stage.until(lambda: stage.source.nodes[own].telemetry["device"].values["voltage"] == 3.7)
    await radio.wait_for(lambda: len(radio.commands(5)) > 2)
