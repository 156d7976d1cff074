"""What a radio and its link can do wrong, and that apps are served again afterwards."""

import asyncio
import json

import pytest

from custom_components.meshmonitor.mesh import probe as shared_probe
from custom_components.meshmonitor.mesh.model import LinkState
from custom_components.meshmonitor.mesh.source import (
    LinkChanged,
    ProbeError,
    ProbeReason,
    Problem,
    ProblemChanged,
)
from custom_components.meshmonitor.mesh.transport import SerialEndpoint, TcpEndpoint
from custom_components.meshmonitor.meshcore import probe as probe_module, virtual_node
from custom_components.meshmonitor.meshcore.probe import probe
from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion
from tests.simulators.meshcore_mesh import crowd
from tests.simulators.meshcore_recorded import RecordedCompanion

from .conftest import OpenStage
from .stage import Stage
from .test_checks import post, text_to


async def served_again(stage: Stage, radio: SimulatedCompanion) -> None:
    """Wait until the link is ready, and see an app being served and a message arriving."""
    await stage.until(lambda: stage.source.link.is_ready)
    app = await stage.app(name=f"after {len(stage.apps)}")
    assert (await app.ask(b"\x2b"))[0] == 23
    radio.mesh.say("Bravo", "after", stamp=5000 + len(stage.apps))
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"after"]


async def test_a_reboot(stage: Stage, radio: SimulatedCompanion) -> None:
    """Apps stay; the radio's clock, version and scope are set anew."""
    app = await stage.app()
    await radio.reboot(0.1)
    await served_again(stage, radio)
    assert not app.is_closed
    assert radio.device.app_version == 13
    assert abs(radio.device.now - radio.device.clock()) <= 2


async def test_a_command_that_is_never_answered(stage: Stage, radio: SimulatedCompanion) -> None:
    """Its app is told, what came after it is done, and it is not sent again."""
    first, second = await stage.app(name="a"), await stage.app(name="b")
    radio.faults.mute.add(2)
    first.send(text_to(radio, "Bravo", b"lost?"), b"\x2b")
    second.send(b"\x3c")
    assert await second.take() == [(await second.take(0) or [second.replies[-1]])[0]]
    assert (await first.take())[0] == b"\x01\x04"
    assert (await first.take())[0][0] == 23
    assert len(radio.commands(2)) == 1
    assert stage.source.counters["command_timeouts"] == stage.source.counters["resyncs"] == 1


async def test_a_late_answer_is_nobody_s(stage: Stage, radio: SimulatedCompanion) -> None:
    """It must not be taken for the answer to the next command."""
    first, second = await stage.app(name="a"), await stage.app(name="b")
    radio.faults.mute.add(3)
    assert await first.ask(post(b"one")) == b"\x01\x04"
    second.send(post(b"two"))
    radio.inject(b"\x00")
    radio.faults.mute.clear()
    assert await second.take() == [b"\x00"]
    assert len(radio.commands(3)) == 2
    assert stage.source.counters["responses_absorbed"] == 1


async def test_a_radio_that_falls_silent(stage: Stage, radio: SimulatedCompanion) -> None:
    """It is connected anew."""
    app = await stage.app()
    radio.faults.deaf = True
    assert await app.ask(b"\x2b") == b"\x01\x04"
    await stage.until(lambda: not stage.source.link.is_ready)
    radio.faults.deaf = False
    await served_again(stage, radio)


async def test_an_app_is_told_in_time_that_the_radio_is_away(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """What is known is answered; what only the radio knows is refused, before apps give up."""
    app = await stage.app()
    await radio.away()
    await stage.until(lambda: not stage.source.link.is_ready)
    assert (await app.contacts())[0][1] == 5
    assert await app.ask(post(b"hello")) == b"\x01\x04"
    assert stage.source.counters["refused_expired"] == 1
    await radio.listen(radio.port)
    await served_again(stage, radio)
    assert radio.commands(3) == []


async def test_a_command_waits_for_a_short_absence(stage: Stage, radio: SimulatedCompanion) -> None:
    """It is sent when the radio is back, once."""
    app = await stage.app()
    radio.close(reset=True)
    assert await app.ask(post(b"hello")) in (b"\x00", b"\x01\x04")
    await stage.until(lambda: stage.source.link.is_ready)
    assert len(radio.commands(3)) <= 1


async def test_no_message_is_lost_when_the_link_breaks_before_it_is_fetched(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """The radio hands out a message once: it must come to who keeps it, after the break too."""
    app = await stage.app()
    radio.faults.mute.add(3)
    app.send(post(b"never answered"))
    await stage.until(lambda: radio.commands(3))
    radio.mesh.say("Bravo", "kept")
    await stage.until(lambda: stage.source.counters["queue_length"])
    radio.close(reset=True)
    await stage.until(lambda: not stage.source.link.is_ready)
    assert await app.take() == [b"\x01\x04"]
    await stage.until(lambda: stage.source.link.is_ready)
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"kept"]


@pytest.mark.parametrize("lost", [1, 4])
async def test_lost_contacts_are_read_again(
    radio: SimulatedCompanion, open_stage: OpenStage, lost: int
) -> None:
    """The radio's output queue is short; the list is whole in the end."""
    radio.faults.lose_contacts = lost
    stage = await open_stage(radio)
    app = await stage.app()
    assert len((await app.contacts())[1:-1]) == 5
    assert len(radio.commands(4)) == 2


async def test_a_flaky_list_takes_nothing_away(stage: Stage, radio: SimulatedCompanion) -> None:
    """After a reconnection the list comes in pieces: apps see the whole one all the time."""
    app = await stage.app()
    radio.faults.lose_contacts = 12
    radio.close(reset=True)
    await stage.until(lambda: not stage.source.link.is_ready)
    await stage.until(lambda: stage.source.link.is_ready)
    assert len((await app.contacts())[1:-1]) == 5
    await radio.wait_for(lambda: radio.faults.lose_contacts == 0)
    assert len((await app.contacts())[1:-1]) == 5


async def test_contacts_that_went_while_we_were_away(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Two readings agree that they are gone."""
    app = await stage.app()
    key = radio.mesh.peer("Bravo").key
    await radio.away()
    await stage.until(lambda: not stage.source.link.is_ready)
    del radio.device.contacts[key]
    await radio.listen(radio.port)
    await stage.until(lambda: key.hex() not in stage.source.nodes)
    assert len((await app.contacts())[1:-1]) == 4
    assert len(radio.commands(4)) == 3


async def test_commands_between_contacts(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list does not keep apps waiting."""
    monkeypatch.setattr(virtual_node, "HOLD_TIMEOUT", 8.0)
    config = CompanionConfig(peers=crowd(100), max_contacts=200)
    async with SimulatedCompanion(config) as radio:
        radio.faults.slow_stream = 0.01
        stage = await open_stage(radio, started=False)
        await stage.source.start()
        await radio.wait_for(lambda: radio.commands(4))
        app = await stage.app(hello=False)
        await app.ask(b"\x01\x03      app")
        assert (await app.ask(b"\x3c"))[0] == 26
        assert not stage.source._mirror.contacts.is_complete
        assert len((await app.contacts())[1:-1]) == 100
        await stage.stop()


async def test_another_radio_at_the_same_address(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """Apps are let go, nothing of the old one is served, and the owner is told."""
    stage = await open_stage(radio, expected_node_id=radio.device.settings.public_key.hex())
    app = await stage.app()
    config = CompanionConfig(name="Other", peers=crowd(2))
    async with SimulatedCompanion(config) as other:
        port = radio.port
        await radio.away()
        await other.away()
        await other.listen(port)
        await app.until(lambda: app.is_closed)
        await stage.until(lambda: stage.of_kind(ProblemChanged))
        problem = stage.of_kind(ProblemChanged)[-1]
        assert (problem.problem, problem.is_active) == (Problem.OTHER_IDENTITY, True)
        assert problem.placeholders["found"] == other.device.settings.public_key.hex()
        fresh = await stage.app()
        assert len((await fresh.contacts())[1:-1]) == 2
        assert fresh.replies[1] == other.device.settings.self_info()
        await stage.stop()


async def test_a_snapshot_serves_apps_before_the_radio_is_there(
    stage: Stage, radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """After a restart of Home Assistant: identity, contacts, channels, and waiting messages."""
    phone = await stage.app(name="phone")
    radio.mesh.say("Bravo", "unread")
    await phone.push(0x83)
    snapshot = json.loads(json.dumps(stage.source.snapshot()))
    await stage.stop()
    await radio.away()
    again = await open_stage(radio, started=False)
    again.source.restore(snapshot)
    assert len(again.source.nodes) == 6
    assert again.source.identity is not None
    await again.source.start()
    app = await again.app(name="phone")
    assert app.replies[1] == radio.device.settings.self_info()
    assert len((await app.contacts())[1:-1]) == 5
    assert (await app.ask(b"\x1f\x00"))[2:8] == b"Public"
    await app.push(0x83)
    assert [frame[16:] for frame in await app.drain()] == [b"unread"]


async def test_a_damaged_snapshot_is_as_none(
    radio: SimulatedCompanion, open_stage: OpenStage
) -> None:
    """The source works without it."""
    stage = await open_stage(radio, started=False)
    damages: list[dict[str, object]] = [{}, {"mirror": {}, "inbox": {}}, {"mirror": None}]
    for damaged in damages:
        with pytest.raises(ValueError):
            stage.source.restore(damaged)
    await stage.start()
    await served_again(stage, radio)


async def test_nothing_is_left_behind(radio: SimulatedCompanion, open_stage: OpenStage) -> None:
    """No task and no timer of ours, also when it is stopped in the middle."""
    before = asyncio.all_tasks()
    for _ in range(3):
        stage = await open_stage(radio, started=False)
        await stage.source.start()
        await asyncio.sleep(0.01)
        await stage.stop()
        assert stage.source.link.state is LinkState.STOPPED
        assert stage.source._radio._timer is None
        assert asyncio.all_tasks() == before


async def test_over_a_serial_port(radio: SimulatedCompanion, open_stage: OpenStage) -> None:
    """Debug text between the frames, the plug pulled and put back."""
    radio.faults.junk = b"\r\nboot > ok\r\n"
    path = radio.plug_in()
    assert (await probe(SerialEndpoint(str(path)))).identity.name == "Hilltop"
    stage = Stage(SerialEndpoint(str(path)))
    try:
        await stage.start()
        await served_again(stage, radio)
        radio.unplug()
        await stage.until(lambda: not stage.source.link.is_ready)
        radio.plug_in()
        await served_again(stage, radio)
    finally:
        await stage.stop()


async def test_a_serial_line_that_nobody_has_read(socket_enabled: None, short_times: None) -> None:
    """A radio that has talked to nobody for long is understood by who comes, whole list and all."""
    config = CompanionConfig(peers=crowd(90), wifi_queue=False)
    async with SimulatedCompanion(config) as radio:
        path = radio.plug_in()
        for _ in range(600):
            radio.inject(b"\x88\x20\xba" + bytes(170))
        while radio._out:
            await asyncio.sleep(0)
        stage = Stage(SerialEndpoint(str(path)))
        try:
            await stage.start()
            assert len(stage.source.nodes) == 91
        finally:
            await stage.stop()


async def test_the_recorded_radio(
    socket_enabled: None, short_times: None, open_stage: OpenStage
) -> None:
    """Real firmware's answers: read, shown, and served byte for byte."""
    async with RecordedCompanion() as radio:
        stage = await open_stage(radio)
        assert stage.source.identity is not None
        assert (stage.source.identity.name, stage.source.identity.firmware) == (
            "Alpha", "v1.17.1-sim",
        )  # fmt: skip
        assert [channel.name for channel in stage.source.channels][:2] == ["Public", "#garden"]
        app = await stage.app()
        frames = await app.contacts()
        assert len(frames) == 3
        recorded = {frame for answers in radio._by_code.values() for frame in answers}
        assert app.replies[1] in recorded
        assert (await app.ask(b"\x3b")) == b"\x19\x00\x00"
        await stage.stop()


async def test_probe(radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves a radio, and tells why there is none."""
    monkeypatch.setattr(probe_module, "SILENCE_TIMEOUT", 0.3)
    monkeypatch.setattr(probe_module, "ASK_INTERVAL", 0.1)
    monkeypatch.setattr(shared_probe, "RETRY_DELAY", 0.01)
    endpoint = TcpEndpoint(radio.host, radio.port)
    proved = await probe(endpoint)
    assert (proved.nodes, proved.favorites) == (len(radio.device.contacts) + 1, 0)
    assert (proved.identity.name, proved.identity.node_id) == (
        "Hilltop", radio.device.settings.public_key.hex(),
    )  # fmt: skip
    radio.faults.deaf = True
    assert await reason(endpoint) is ProbeReason.SILENT
    await radio.away()
    assert await reason(endpoint) is ProbeReason.CANNOT_CONNECT


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [(b"SSH-2.0-server\r\n", ProbeReason.WRONG_PROTOCOL), (b"", ProbeReason.CONTENDED)],
)
async def test_probe_of_something_else(
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    greeting: bytes,
    expected: ProbeReason,
) -> None:
    """Another service, and a place that somebody takes away each time."""
    monkeypatch.setattr(shared_probe, "RETRY_DELAY", 0.01)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await reason(TcpEndpoint("127.0.0.1", port)) is expected


async def reason(endpoint: TcpEndpoint) -> ProbeReason:
    """Return why no radio can be proved."""
    with pytest.raises(ProbeError) as caught:
        await probe(endpoint)
    return caught.value.reason


async def test_the_link_tells_its_states(stage: Stage, radio: SimulatedCompanion) -> None:
    """From the first attempt to ready."""
    states = [event.status.state for event in stage.of_kind(LinkChanged)]
    assert states == [LinkState.CONNECTING, LinkState.HANDSHAKE, LinkState.READY]
