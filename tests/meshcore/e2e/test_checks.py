"""What goes wrong where several apps share a radio naively: each point has its test here."""

import asyncio
from collections import Counter
import socket

import pytest

from custom_components.meshmonitor.mesh import client as client_module
from custom_components.meshmonitor.meshcore.framing import to_app
from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion
from tests.simulators.meshcore_mesh import crowd

from .conftest import OpenStage
from .stage import Stage


def text_to(radio: SimulatedCompanion, name: str, text: bytes, stamp: int = 1) -> bytes:
    """Return the command that sends a direct text to a peer."""
    return b"\x02\x00\x00" + stamp.to_bytes(4, "little") + radio.mesh.peer(name).key[:6] + text


def post(text: bytes, stamp: int = 1, channel: int = 0) -> bytes:
    """Return the command that sends a text on a channel."""
    return b"\x03\x00" + bytes([channel]) + stamp.to_bytes(4, "little") + text


async def test_local_and_forwarded_answers_keep_their_order(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Apps pipeline: what is known here must not overtake what the radio has to answer."""
    radio.faults.delay = 0.01
    app = await stage.app()
    app.send(
        b"\x2b", b"\x05", b"\x38\x00", b"\x17", b"\x1f\x00", b"\x3c", b"\x63",
        text_to(radio, "Bravo", b"hi"), b"\x14", b"\x2a\x00" + bytes(32), b"\x0a", b"\x16\x03",
    )  # fmt: skip
    codes = [frame[0] for frame in await app.take(12)]
    assert codes == [23, 9, 24, 15, 18, 26, 1, 6, 12, 1, 10, 13]


@pytest.mark.parametrize(("version", "codes"), [(0, (7, 8)), (2, (7, 8)), (3, (16, 17))])
async def test_old_apps_get_the_old_messages(
    stage: Stage, radio: SimulatedCompanion, version: int, codes: tuple[int, int]
) -> None:
    """Each app by the version that it asked for itself; one that never asked is old."""
    modern = await stage.app(name="modern")
    app = await stage.app(hello=False)
    if version:
        await app.ask(bytes((22, version)))
    await app.ask(b"\x01" + bytes(7) + b"x")
    radio.mesh.say("Bravo", "direct")
    radio.mesh.post("Bravo", "public")
    await app.push(0x83, 2)
    assert tuple(frame[0] for frame in await app.drain()) == codes
    await modern.push(0x83, 2)
    assert [frame[0] for frame in await modern.drain()] == [16, 17]


@pytest.mark.parametrize("admin", [False, True])
async def test_the_private_key_stays(
    radio: SimulatedCompanion, open_stage: OpenStage, admin: bool
) -> None:
    """Whatever is allowed; and not a part of it by another answer."""
    stage = await open_stage(
        radio, allow_admin_commands=admin, allow_destructive_commands=admin, allow_signing=admin
    )
    app = await stage.app()
    assert await app.ask(b"\x17") == b"\x0f"
    assert radio.commands(23) == []
    # The radio's answers share a buffer: after an export by another app, an empty channel shows it.
    radio.device.handle(b"\x17")
    stage.source._radio._reader.add([b"\x1f\x05"])
    app.send(b"\x2b")
    await stage.until(lambda: len(radio.commands(31)) > 8)
    await app.take()
    for index in range(8):
        app.send(bytes((31, index)))
    await app.take(8)
    key = radio.device.settings.private_key
    seen = b"".join(app.frames)
    assert not any(key[at : at + 4] in seen for at in range(60))


async def test_every_app_gets_every_message_once(stage: Stage, radio: SimulatedCompanion) -> None:
    """They are taken from the radio's one queue by us alone."""
    apps = [await stage.app(name=f"app {number}") for number in range(3)]
    for number in range(10):
        radio.mesh.say("Bravo", f"text {number}", stamp=1000 + number)
        await asyncio.sleep(0)
    for app in apps:
        await app.push(0x83)
    await stage.until(lambda: not radio.device.inbox.frames)
    await stage.until(
        lambda: radio.commands(10)[-1:] and stage.source.counters["queue_length"] == 0
    )
    for app in apps:
        texts = [frame[16:].decode() for frame in await app.drain()]
        assert texts == [f"text {number}" for number in range(10)]


async def test_an_app_that_tells_no_name_is_told_of_messages(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """As bots do: they ask for the version, and then wait for messages."""
    app = await stage.app(hello=False)
    await app.ask(b"\x16\x01")
    for number in (1, 2):
        radio.mesh.say("Bravo", f"text {number}")
        await app.push(0x83, number)
        assert [frame[13:] for frame in await app.drain()] == [b"text %d" % number]


async def test_what_a_console_answers_is_for_who_may_write_to_it(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """A repeater answers with its password to who changes it: that is no message for everyone."""
    stage = await open_stage(radio, allow_admin_commands=True, admin_networks=["127.0.0.1/32"])
    admin, other = await stage.app(name="admin"), await stage.app(name="other")
    client = stage.source._switchboard.phone("vn-2")
    assert client is not None
    client.client.rights_changed(is_admin=False)
    ridge = radio.mesh.peer("Ridge").key[:6]
    assert (await admin.ask(b"\x02\x01\x00" + bytes(4) + ridge + b"password secret"))[0] == 6
    await admin.push(0x83)
    radio.mesh.say("Bravo", "after")
    await other.push(0x83)
    assert [frame[16:] for frame in await admin.drain()] == [b"> password secret", b"after"]
    assert [frame[16:] for frame in await other.drain()] == [b"after"]
    assert other.count(0x83) == 1


async def test_acknowledgements_go_to_who_sent(stage: Stage, radio: SimulatedCompanion) -> None:
    """Only to the sender; to both, where two sent the same text in the same second."""
    first, second, third = [await stage.app(name=name) for name in ("a", "b", "c")]
    sent = await first.ask(text_to(radio, "Bravo", b"mine"))
    confirmed = await first.push(0x82)
    assert confirmed[1:5] == sent[2:6]
    assert second.count(0x82) == 0
    radio.mesh.delay = 0.1
    same = text_to(radio, "Bravo", b"same", stamp=7)
    one, two = await first.ask(same), await second.ask(same)
    assert one[2:6] == two[2:6]
    assert (await first.push(0x82, 2))[1:5] == one[2:6]
    assert (await second.push(0x82))[1:5] == one[2:6]
    await asyncio.sleep(0.15)
    assert Counter(app.count(0x82) for app in (first, second, third)) == {2: 1, 1: 1, 0: 1}


async def test_a_second_remote_request_waits_for_the_first(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """The radio keeps one; both are answered, each to its asker."""
    first, second = await stage.app(name="a"), await stage.app(name="b")
    weather, ridge = radio.mesh.peer("Weather").key, radio.mesh.peer("Ridge").key
    first.send(b"\x27\x00\x00\x00" + weather)
    second.send(b"\x1a" + ridge + b"password")
    telemetry, login = await first.push(0x8B), await second.push(0x85)
    assert [(await app.take())[0][0] for app in (first, second)] == [6, 6]
    assert telemetry[2:8] == weather[:6]
    assert (login[2:8], len(login)) == (ridge[:6], 14)
    assert first.count(0x85) == second.count(0x8B) == 0
    radio.mesh.peer("Ridge").is_silent = True
    radio.mesh.timeout_ms = 60_000
    assert (await first.ask(b"\x1b" + ridge))[0] == 6
    assert await second.ask(b"\x32" + weather + b"\x03") == b"\x01\x04"
    assert stage.source.counters["refused_busy"] == 1


async def test_unsolicited_responses_disturb_nobody(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Heartbeats, and answers to another interface's commands."""
    app = await stage.app()
    radio.faults.mute.add(0x2B)
    app.send(b"\x2b")
    await radio.wait_for(lambda: radio.commands(0x2B))
    for frame in (b"\x09\x01\x02\x03\x04", b"\x0c\x01\x02", b"\x0a", b"\x0e" + bytes(64)):
        radio.inject(frame)
        await asyncio.sleep(0.02)
    radio.inject(b"\x17" + bytes(8))
    assert await app.take() == [b"\x17" + bytes(8)]
    assert stage.source.counters["responses_absorbed"] == 4
    assert len(app.replies) == 3


async def test_streams_may_be_cut_anywhere(stage: Stage, radio: SimulatedCompanion) -> None:
    """Byte by byte to the radio's side and from the app's, and many commands in one piece."""
    radio.faults.dribble = True
    app = await stage.app()
    for byte in b"<\x01\x00\x2b<\x01\x00\x14":
        app.write(bytes([byte]))
        await app.writer.drain()
        await asyncio.sleep(0.001)
    assert [frame[0] for frame in await app.take(2)] == [23, 12]
    app.send(*[b"\x3c"] * 20)
    assert [frame[0] for frame in await app.take(20)] == [26] * 20


async def test_junk_before_a_command(stage: Stage, radio: SimulatedCompanion) -> None:
    """From the app, and debug text from the radio."""
    radio.faults.junk = b"DEBUG: sent > 12 bytes\r\n"
    app = await stage.app()
    app.write(b"\x00\xffjunk")
    assert (await app.ask(b"\x2b"))[0] == 23


async def test_a_command_that_is_too_long(stage: Stage, radio: SimulatedCompanion) -> None:
    """Refused; what is inside it is not executed, what follows it is."""
    app = await stage.app()
    hidden = text_to(radio, "Bravo", b"x" * 170) + b"<\x02\x00\x07\x01"
    assert await app.ask(hidden) == b"\x01\x06"
    assert (await app.ask(b"\x2b"))[0] == 23
    assert radio.commands(2) == radio.commands(7) == []


async def test_the_radio_goes_and_comes_back_while_apps_stay(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Another program takes the radio's one place, then lets go; no app notices."""
    app = await stage.app()
    intruder_reader, intruder = await asyncio.open_connection(radio.host, radio.port)
    await stage.until(lambda: not stage.source.link.is_ready)
    await stage.until(lambda: stage.source.link.is_ready)
    # To its end: our link has the place again.
    await intruder_reader.read()
    intruder.close()
    assert (await app.ask(b"\x2b"))[0] == 23
    radio.mesh.say("Bravo", "after")
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"after"]
    assert not app.is_closed


async def test_a_slow_app_harms_nobody(
    stage: Stage, radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses raw reception first, and is let go when that does not help."""
    monkeypatch.setattr(client_module, "MAX_QUEUED", 20_000)
    slow, app = await stage.app(name="slow"), await stage.app(name="quick")
    transport = slow.writer.transport
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    transport.pause_reading()  # type: ignore[attr-defined]
    frame = b"\x88\x20\xba" + bytes(170)
    sent = 0
    (client, *_) = stage.source.virtual_node.clients.values()
    # The system would hold megabytes for a client on this machine; a phone's network does not.
    assert client._transport is not None
    client._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while client.dropped == 0:
        for _ in range(200):
            radio._write(b">" + len(frame).to_bytes(2, "little") + frame)  # type: ignore[misc]
            sent += 1
        await asyncio.sleep(0.01)
        assert sent < 200_000
    await app.until(lambda: app.count(0x88) == sent)
    assert (await app.ask(b"\x2b"))[0] == 23


async def test_contacts_are_not_served_before_they_are_known(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """Some apps delete what a list lacks: the question waits for the whole list."""
    radio.faults.slow_stream = 0.03
    radio.faults.lose_contacts = 3
    stage = await open_stage(radio, started=False)
    await stage.source.start()
    await radio.wait_for(lambda: radio.commands(4))
    app = await stage.app(hello=False)
    frames = await app.contacts()
    assert [frame[0] for frame in frames] == [2, 3, 3, 3, 3, 3, 4]
    assert {bytes(frame[1:33]) for frame in frames[1:-1]} == set(radio.mesh.peers)


async def test_an_app_that_cannot_be_answered_is_let_go(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """Without a radio and without anything known: it tries again by itself, and is never silent."""
    await radio.away()
    stage = await open_stage(radio, started=False)
    await stage.source.start()
    app = await stage.app(hello=False)
    app.send(b"\x01\x03      app")
    await app.until(lambda: app.is_closed)
    assert app.frames == []


async def test_many_commands_without_waiting(stage: Stage, radio: SimulatedCompanion) -> None:
    """The Python library gives up when five are unanswered: all of them are answered."""
    app = await stage.app()
    app.send(*[b"\x2b"] * 5, *[bytes((31, index)) for index in range(8)], *[b"\x0a"] * 5)
    assert [frame[0] for frame in await app.take(18)] == [23] * 5 + [18] * 8 + [10] * 5
    radio.faults.mute.add(0x2B)
    app.send(*[b"\x2b"] * 3, b"\x14")
    answers = await app.take(4)
    assert answers[:3] == [b"\x01\x04"] * 3
    assert answers[3][0] == 12


async def test_a_flood_of_commands_ends_the_app(stage: Stage, radio: SimulatedCompanion) -> None:
    """What is beyond its queue is refused in its place, and a flood closes it."""
    radio.faults.delay = 0.005
    app, other = await stage.app(name="flood"), await stage.app(name="other")
    app.send(*[b"\x2b"] * 80)
    answers = await app.take(80)
    assert {frame[0] for frame in answers[:64]} == {23}
    assert b"\x01\x03" in answers[64:]
    app.send(*[b"\x2b"] * 2000)
    await app.until(lambda: app.is_closed)
    assert (await other.ask(b"\x2b"))[0] == 23


async def test_other_parameters_are_tolerated(stage: Stage, radio: SimulatedCompanion) -> None:
    """An integration sends them at every start and again until it gets its OK."""
    app = await stage.app()
    assert await app.ask(b"\x26\x00\x00\x00\x00") == b"\x00"
    assert await app.ask(b"\x26\x00") == b"\x00"
    assert radio.commands(38) == []
    assert await app.ask(b"\x26\x01") == b"\x01\x01"


async def test_a_large_list_arrives_whole_at_many(
    open_stage: OpenStage, socket_enabled: None
) -> None:
    """350 contacts, ten apps at once, one reading of the radio."""
    config = CompanionConfig(peers=crowd(350), max_contacts=400)
    async with SimulatedCompanion(config) as radio:
        stage = await open_stage(radio)
        apps = [await stage.app(name=f"app {number}") for number in range(10)]
        lists = await asyncio.gather(*(app.contacts() for app in apps))
        expected = [contact.frame() for contact in radio.device.contacts.values()]
        assert all(frames[1:-1] == expected for frames in lists)
        assert len(radio.commands(4)) == 1
        await stage.stop()


async def test_what_comes_in_one_go_keeps_its_order(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Pushes of any worth, the answer to a command between them, and what is one app's alone."""
    asker, other = await stage.app(name="a"), await stage.app(name="b")
    radio.mesh.peer("Bravo").is_silent = True
    confirmed = b"\x82" + (await asker.ask(text_to(radio, "Bravo", b"hi")))[2:6] + bytes(4)
    radio.faults.mute.add(0x3C)
    asker.send(b"\x3c")
    await radio.wait_for(lambda: radio.commands(0x3C))
    heard = [b"\x88\x18\xb0" + bytes([number]) for number in range(20)]
    control = b"\x8e\x18\xb0\x00\x80"
    answer = b"\x1a" + bytes(8)
    frames = [*heard[:7], control, control, *heard[7:9], answer, *heard[9:15], confirmed]
    frames += [*heard[15:], b"\xa0later"]
    begun = [len(app.frames) for app in (asker, other)]
    radio.inject_bytes(b"".join(map(to_app, frames)))
    for app in (asker, other):
        await app.push(0xA0)
    assert asker.frames[begun[0] :] == frames
    own = (answer, confirmed)
    assert other.frames[begun[1] :] == [frame for frame in frames if frame not in own]


@pytest.mark.parametrize("code", [0x84, 0x8E, 0x90, 0x91, 0xC0, 0xFE, 0xFF])
async def test_what_concerns_nobody_in_particular_concerns_everyone(
    stage: Stage, radio: SimulatedCompanion, code: int
) -> None:
    """Raw data, control data, a full table, and pushes that nobody knows yet: as they came."""
    apps = [await stage.app(name=f"app {number}") for number in range(3)]
    push = bytes([code]) + b"whatever it says"
    radio.inject(push)
    for app in apps:
        assert await app.push(code) == push
    assert (await apps[0].ask(b"\x2b"))[0] == 23
    assert {app.count(code) for app in apps} == {1}


@pytest.mark.parametrize("code", [0x80, 0x81, 0x82, 0x85, 0x87, 0x89, 0x8A, 0x8B, 0x8C, 0x8D, 0x8F])
async def test_a_push_that_breaks_off_harms_nobody(
    stage: Stage, radio: SimulatedCompanion, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A radio that says less than it should is still served, and so are its apps."""
    app = await stage.app()
    for size in (0, 1, 7):
        radio.inject(bytes([code]) + bytes(size))
        assert (await app.ask(b"\x2b"))[0] == 23
    radio.mesh.say("Bravo", "after")
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"after"]
    assert stage.source.link.sessions == 1
    assert not [record for record in caplog.records if record.exc_info]
    unnamed = code in {0x80, 0x81, 0x8A, 0x8F}
    assert stage.source.counters["malformed_frames"] == (3 if unnamed else 0)
