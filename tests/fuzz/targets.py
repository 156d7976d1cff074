"""What is fuzzed: functions that take any bytes and must neither fail nor break a promise."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
import json
from typing import Final

from meshtastic.protobuf import mesh_pb2

from custom_components.meshmonitor.meshcore import (
    decode as meshcore_decode,
    frames,
    framing as meshcore_framing,
    policy as meshcore_policy,
    pushes,
)
from custom_components.meshmonitor.meshcore.inbox import MAX_MESSAGES, Inbox
from custom_components.meshmonitor.meshcore.mirror import Mirror as MeshCoreMirror
from custom_components.meshmonitor.meshtastic import client_frame, framing, packets, policy, wire
from custom_components.meshmonitor.meshtastic.admin import VARIANTS, AdminClass
from custom_components.meshmonitor.meshtastic.decision import Answer, Forward
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.session import EventKind, Session
from tests.meshtastic.view import RecordedView
from tests.simulators.meshcore_recorded import recorded_frames
from tests.simulators.recording import (
    MESHTASTIC_2_7,
    MESHTASTIC_2_8,
    dump_frames,
    live_frames,
    read_recording,
)

type Target = Callable[[bytes], None]

NOW: Final = 1_800_000_000.0
_GOOD: Final = b"\x38\x07"
_NOTHING: Final = policy.ClientRights()
_NO_RIGHTS: Final = meshcore_policy.Rights()
_ALL_RIGHTS: Final = meshcore_policy.Rights(
    admin=True, destructive=True, contacts=True, signing=True
)
_SENT: Final = (meshcore_policy.Forward, meshcore_policy.Lease)


def _chunks(data: bytes) -> list[bytes]:
    """Cut bytes somewhere: where, they say themselves."""
    size = data[0] % 9 + 1 if data else 1
    return [data[at : at + size] for at in range(0, len(data), size)]


def meshtastic_framing(data: bytes) -> None:
    """Where a stream is cut changes nothing, little is held back, and good frames are found."""
    whole, cut = framing.FrameDecoder(), framing.FrameDecoder()
    frames_whole = whole.feed(data)
    frames_cut = [frame for chunk in _chunks(data) for frame in cut.feed(chunk)]
    assert frames_whole == frames_cut
    assert whole.skipped_bytes == cut.skipped_bytes
    assert all(len(frame) <= framing.MAX_PAYLOAD for frame in frames_whole)
    assert len(cut._pending) <= framing.HEADER_SIZE + framing.MAX_PAYLOAD
    for _ in range(framing.HEADER_SIZE + framing.MAX_PAYLOAD):
        if whole.partial_since is None:
            break
        whole.abandon_partial()
    assert whole.feed(framing.encode(_GOOD))[-1:] == [_GOOD]


def meshcore_device_framing(data: bytes) -> None:
    """Where a stream is cut changes nothing, and little is held back."""
    whole, cut = meshcore_framing.DeviceStreamDecoder(), meshcore_framing.DeviceStreamDecoder()
    assert whole.feed(data) == [frame for chunk in _chunks(data) for frame in cut.feed(chunk)]
    assert len(whole._buffer) <= meshcore_framing.HEADER_SIZE + meshcore_framing.MAX_TOLERATED_SIZE
    whole.reset()
    assert whole.feed(meshcore_framing.to_app(b"ok")) == [b"ok"]


def meshcore_app_framing(data: bytes) -> None:
    """Where a stream is cut changes nothing, little is kept, and what is too long is cut."""
    whole, cut = meshcore_framing.AppStreamDecoder(), meshcore_framing.AppStreamDecoder()
    commands = whole.feed(data)
    assert commands == [frame for chunk in _chunks(data) for frame in cut.feed(chunk)]
    assert all(0 < len(command) <= meshcore_framing.MAX_FRAME_SIZE + 1 for command in commands)
    assert len(whole._payload) <= meshcore_framing.MAX_FRAME_SIZE + 1
    # Whatever is unfinished ends within the longest length there is.
    whole.feed(bytes(1 << 16))
    assert not whole.unfinished
    assert whole.feed(meshcore_framing.to_device(b"ok")) == [b"ok"]


def wire_scanner(data: bytes) -> None:
    """What is well-formed is read without losing a byte; all else is one kind of error."""
    try:
        fields = wire.scan(data)
    except wire.WireError:
        return
    assert b"".join(data[field.start : field.end] for field in fields) == data
    for field in fields:
        assert field.start < field.value_start <= field.end
        wire.value_bytes(data, field)
        wire.value_int(field)


@cache
def _view() -> RecordedView:
    return RecordedView.recorded()


def meshtastic_policy(data: bytes) -> None:
    """Nothing that changes a radio passes, and no answer holds a private key."""
    decision = policy.decide(client_frame.parse(data), _view(), _NOTHING, NOW)
    if isinstance(decision, Forward):
        packet = mesh_pb2.ToRadio.FromString(data).packet
        assert packet.decoded.portnum != 6
        assert not packet.HasField("encrypted")
        assert not decision.mutates
        assert (
            packet.SerializeToString()
            == mesh_pb2.MeshPacket.FromString(decision.packet.raw).SerializeToString()
        )
    elif isinstance(decision, Answer) and decision.portnum == 6:
        tags = {field.number for field in wire.scan(decision.payload)}
        assert {VARIANTS[tag].admin_class for tag in tags & set(VARIANTS)} <= {AdminClass.RESPONSE}


def meshtastic_stream(data: bytes) -> None:
    """Whatever a radio says, its session, its mirror and the decoder take it."""
    mirror = Mirror()
    decoder = Decoder(mirror)
    session = Session(lambda: 7, is_serial=False)
    session.open(0.0)
    mirror.begin_capture()
    for chunk in _chunks(data):
        for event in session.receive(chunk, 1.0).events:
            try:
                if event.kind is EventKind.DUMP_FRAME:
                    mirror.capture(event.payload)
                elif event.kind is EventKind.DUMP_COMPLETE:
                    mirror.complete_capture()
                elif event.variant is not None:
                    _live(mirror, decoder, event.payload, event.variant)
            except wire.WireError:
                continue
    session.tick(2.0)
    _look(mirror, decoder)


def _live(mirror: Mirror, decoder: Decoder, payload: bytes, variant: wire.Field) -> None:
    value = wire.value_bytes(payload, variant)
    mirror.live(payload, NOW)
    if variant.number == packets.PACKET:
        packets.parse_packet(value)
        decoder.packet(value, NOW)


def _look(mirror: Mirror, decoder: Decoder) -> None:
    json.dumps(mirror.snapshot())
    decoder.identity()
    decoder.channels()
    decoder.nodes(NOW)


@cache
def _known_mirror() -> Mirror:
    mirror = Mirror()
    mirror.begin_capture()
    for payload in dump_frames(MESHTASTIC_2_7):
        mirror.capture(payload)
    mirror.complete_capture()
    return mirror


def meshtastic_frame(data: bytes) -> None:
    """Whatever one frame of a radio holds, a mirror that is filled and the decoder take it."""
    mirror = _known_mirror()
    decoder = Decoder(mirror)
    try:
        fields = wire.scan(data)
        if fields:
            _live(mirror, decoder, data, fields[-1])
    except wire.WireError:
        return
    for num in list(mirror.state.nodes if mirror.state else ())[-3:]:
        decoder.node(num, NOW)


_PARSERS: Final = (
    frames.SelfInfo.parse,
    frames.DeviceInfo.parse,
    frames.Contact.parse,
    frames.Sent.parse,
    frames.ContactMessage.parse,
    frames.ChannelMessage.parse,
    frames.ChannelData.parse,
    frames.ChannelInfo.parse,
    frames.Battery.parse,
    frames.contact_key,
    frames.contact_lastmod,
    frames.clean_channel_info,
    pushes.SendConfirmed.parse,
    pushes.LoginResult.parse,
    pushes.RemoteStatus.parse,
    pushes.RemoteData.parse,
    pushes.BinaryAnswer.parse,
    pushes.Trace.parse,
    pushes.PathDiscovery.parse,
    pushes.RawReception.parse,
)


def meshcore_codec(data: bytes) -> None:
    """Whatever a radio sends is read, or refused in one way."""
    for parse in _PARSERS:
        try:
            parse(data)
        except frames.FrameError:
            continue
    with suppress(frames.FrameError):
        meshcore_decode.lpp_telemetry(data, NOW)
    if data:
        meshcore_decode.direct_advert(data)


def meshcore_policy_and_mirror(data: bytes) -> None:
    """Any command is decided, any answer is learnt, and the private key is never asked for."""
    mirror = MeshCoreMirror()
    command, reply = data[: len(data) // 2], data[len(data) // 2 :]
    if not command or not reply:
        return
    if isinstance(meshcore_policy.decide(command, mirror, _ALL_RIGHTS), _SENT):
        with suppress(frames.FrameError):
            mirror.learn(command, reply)
    with suppress(frames.FrameError):
        mirror.heard(reply)
    decision = meshcore_policy.decide(command, mirror, _NO_RIGHTS)
    if command[0] in _KEY_COMMANDS:
        assert isinstance(decision, meshcore_policy.Refuse)
    json.dumps(mirror.export())


_KEY_COMMANDS: Final = frozenset({23, 24})
"""Export and import of the private key (companion protocol)."""


def meshcore_inbox(data: bytes) -> None:
    """Whatever messages a radio holds, the inbox is bounded and hands each out once."""
    inbox = Inbox()
    inbox.open("reader", inbox.end)
    taken = 0
    for number, chunk in enumerate(_chunks(data)):
        if inbox.received(chunk, NOW + number):
            taken += 1
    assert inbox.waiting("reader") == min(taken, MAX_MESSAGES)
    restored = Inbox.load(json.loads(json.dumps(inbox.export())))
    assert restored.waiting("reader") == inbox.waiting("reader")
    for version in (0, 3):
        while inbox.waiting("reader"):
            assert inbox.take("reader", version, NOW + len(data))


def _client_frames() -> list[bytes]:
    return [
        entry.data
        for path in (MESHTASTIC_2_7, MESHTASTIC_2_8)
        for entry in read_recording(path)
        if entry.kind == "frame" and entry.sender == "client"
    ]


def _node_frames() -> list[bytes]:
    return [
        *dump_frames(MESHTASTIC_2_7)[::4],
        *dump_frames(MESHTASTIC_2_8)[::4],
        *live_frames(MESHTASTIC_2_7, None)[::3],
        *live_frames(MESHTASTIC_2_8, None)[::3],
    ]


def _streams(payloads: list[bytes], encode: Callable[[bytes], bytes]) -> list[bytes]:
    return [b"".join(map(encode, payloads[at : at + 5])) for at in range(0, len(payloads), 5)]


TARGETS: Final[dict[str, tuple[Target, Callable[[], list[bytes]]]]] = {
    "meshtastic framing": (
        meshtastic_framing,
        lambda: _streams(_client_frames() + _node_frames(), framing.encode),
    ),
    "meshtastic wire": (wire_scanner, lambda: _client_frames() + _node_frames()),
    "meshtastic policy": (meshtastic_policy, _client_frames),
    "meshtastic stream": (meshtastic_stream, lambda: _streams(_node_frames(), framing.encode)),
    "meshtastic frame": (meshtastic_frame, _node_frames),
    "meshcore device framing": (
        meshcore_device_framing,
        lambda: _streams(recorded_frames("node"), meshcore_framing.to_app),
    ),
    "meshcore app framing": (
        meshcore_app_framing,
        lambda: _streams(recorded_frames("client"), meshcore_framing.to_device),
    ),
    "meshcore codec": (meshcore_codec, lambda: recorded_frames("node")),
    "meshcore policy": (
        meshcore_policy_and_mirror,
        lambda: [
            command + reply
            for command, reply in zip(
                recorded_frames("client"), recorded_frames("node"), strict=False
            )
        ],
    ),
    "meshcore inbox": (meshcore_inbox, lambda: recorded_frames("node")),
}
"""By name: the function, and what gives it something to begin with."""
