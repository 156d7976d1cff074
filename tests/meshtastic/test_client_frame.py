"""What clients send, read on the wire."""

from pathlib import Path

from hypothesis import given, strategies as st
from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import wire
from custom_components.meshmonitor.meshtastic.client_frame import (
    MAX_DATA_PAYLOAD,
    MAX_PACKET,
    ClientFrame,
    ClientPacket,
    Disconnect,
    Heartbeat,
    Malformed,
    MqttProxy,
    Packet,
    Unknown,
    WantConfig,
    Xmodem,
    parse,
    with_payload,
)
from custom_components.meshmonitor.meshtastic.strict import Violation
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

from .phone import PORT, mesh_packet, parsed, to_radio


def raw_packet(*parts: bytes) -> ClientPacket:
    """Return what is read from a packet made of these fields."""
    frame = parse(wire.bytes_field(1, b"".join(parts)))
    assert isinstance(frame, Packet)
    return frame.packet


def data(*parts: bytes) -> bytes:
    """Return the field `decoded` made of these fields."""
    return wire.bytes_field(4, b"".join(parts))


TEXT = (wire.varint_field(1, 1), wire.bytes_field(2, b"hi"))


@pytest.mark.parametrize(
    ("payload", "frame"),
    [
        pytest.param("18ac9e04", WantConfig(69420), id="only the configuration"),
        pytest.param("18ad9e04", WantConfig(69421), id="only the nodes"),
        pytest.param("1800", WantConfig(0), id="nonce 0"),
        pytest.param("3a00", Heartbeat(0), id="heartbeat"),
        pytest.param("3a020801", Heartbeat(1), id="heartbeat with nonce 1"),
        pytest.param("2001", Disconnect(), id="disconnect"),
        pytest.param("2000", Disconnect(), id="disconnect as the firmware reads it"),
        pytest.param("2a020801", Xmodem(bytes.fromhex("2a020801")), id="file transfer"),
        pytest.param("32020a00", MqttProxy(bytes.fromhex("32020a00")), id="MQTT"),
        pytest.param("", Unknown("empty message"), id="empty"),
        pytest.param("4203616263", Unknown("variant 8"), id="newer variant"),
    ],
)
def test_variants(payload: str, frame: ClientFrame) -> None:
    """Every variant of `ToRadio` is told apart."""
    assert parse(bytes.fromhex(payload)) == frame


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x0a\x05abc", id="cut off"),
        pytest.param(b"GET / HTTP/1.1\r\n", id="a web browser"),
        pytest.param(wire.varint_field(1, 1), id="packet that is a number"),
        pytest.param(wire.bytes_field(3, b""), id="nonce that is bytes"),
        pytest.param(wire.varint_field(3, 1 << 32), id="nonce of 33 bits"),
        pytest.param(wire.varint_field(3, 1) * 2, id="two nonces"),
        pytest.param(wire.varint_field(3, 1) + wire.bytes_field(7, b""), id="two variants"),
        pytest.param(wire.bytes_field(7, b"\x0a"), id="damaged heartbeat"),
        pytest.param(wire.bytes_field(7, wire.varint_field(1, 2) * 2), id="two heartbeat nonces"),
        pytest.param(wire.bytes_field(1, b"\x0d\x01"), id="damaged packet"),
    ],
)
def test_malformed(payload: bytes) -> None:
    """What the radio would drop, or could read otherwise, is nothing but malformed."""
    assert isinstance(parse(payload), Malformed)


def test_packet_is_read() -> None:
    """All that a decision needs is read as the schema's own classes wrote it."""
    packet = mesh_packet(
        b"\xe2\x9d\xa4",
        sender=0x0A000001,
        to=0x0A000002,
        packet_id=0xFEDCBA98,
        channel=2,
        hop_limit=5,
        want_response=True,
        reply_id=0x11223344,
        emoji=1,
    )
    packet.pki_encrypted = True
    packet.decoded.request_id = 99
    read = parsed(packet)
    assert read == ClientPacket(
        raw=packet.SerializeToString(),
        id=0xFEDCBA98,
        sender=0x0A000001,
        destination=0x0A000002,
        channel=2,
        hop_limit=5,
        want_ack=True,
        pki_encrypted=True,
        portnum=PORT.TEXT_MESSAGE_APP,
        payload=b"\xe2\x9d\xa4",
        want_response=True,
        request_id=99,
        reply_id=0x11223344,
        emoji=1,
        encrypted=False,
        violations=frozenset(),
    )


def test_absent_fields_are_their_defaults() -> None:
    """A client may leave out what is 0."""
    packet = parsed(mesh_pb2.MeshPacket(decoded=mesh_pb2.Data()))
    assert (packet.id, packet.sender, packet.destination, packet.portnum) == (0, 0, 0, 0)
    assert packet.payload == b""
    assert (packet.want_ack, packet.want_response) == (False, False)
    assert packet.violations == frozenset()


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
def test_recorded_client(path: Path) -> None:
    """All that a real client sent is unambiguous, and read as the schema's classes read it."""
    entries = [entry for entry in read_recording(path) if entry.sender == "client"]
    frames = [entry.data for entry in entries if entry.kind == "frame"]
    packets = 0
    for payload in frames:
        reference = mesh_pb2.ToRadio.FromString(payload)
        frame = parse(payload)
        match reference.WhichOneof("payload_variant"):
            case "want_config_id":
                assert frame == WantConfig(reference.want_config_id)
            case "heartbeat":
                assert frame == Heartbeat(reference.heartbeat.nonce)
            case "packet":
                assert isinstance(frame, Packet)
                packet, expected = frame.packet, reference.packet
                assert packet.violations == frozenset()
                assert wire.bytes_field(1, packet.raw) == payload
                assert (packet.id, packet.sender, packet.destination) == (
                    expected.id,
                    getattr(expected, "from"),
                    expected.to,
                )
                assert (packet.portnum, packet.payload, packet.want_response) == (
                    expected.decoded.portnum,
                    expected.decoded.payload,
                    expected.decoded.want_response,
                )
                packets += 1
            case other:
                pytest.fail(f"unexpected {other}")
    assert packets == 20


@pytest.mark.parametrize(
    ("packet", "violation"),
    [
        pytest.param((data(*TEXT), data(*TEXT)), Violation.REPEATED_FIELD, id="two decoded"),
        pytest.param(
            (data(wire.varint_field(1, 1), wire.varint_field(1, 6), TEXT[1]),),
            Violation.REPEATED_FIELD,
            id="two port numbers",
        ),
        pytest.param((data(*TEXT, TEXT[1]),), Violation.REPEATED_FIELD, id="two payloads"),
        pytest.param(
            (wire.fixed32_field(2, 1), wire.fixed32_field(2, 5), data(*TEXT)),
            Violation.REPEATED_FIELD,
            id="two addressees",
        ),
        pytest.param(
            (data(*TEXT), wire.bytes_field(5, b"secret")),
            Violation.SEVERAL_VARIANTS,
            id="decoded and encrypted",
        ),
        pytest.param(
            (wire.fixed32_field(2, 5),), Violation.NO_CONTENT, id="neither decoded nor encrypted"
        ),
        pytest.param(
            (wire.varint_field(2, 5), data(*TEXT)), Violation.WRONG_TYPE, id="addressee as varint"
        ),
        pytest.param(
            (data(wire.fixed32_field(1, 1), TEXT[1]),),
            Violation.WRONG_TYPE,
            id="port number as fixed32",
        ),
        pytest.param((wire.varint_field(4, 1),), Violation.WRONG_TYPE, id="decoded as a number"),
        pytest.param(
            (data(wire.varint_field(1, 1 << 32 | 6), TEXT[1]),),
            Violation.NUMBER_TOO_WIDE,
            id="admin port number in disguise",
        ),
        pytest.param(
            (data(wire.varint_field(1, 1), b"\x12\x7f"),), Violation.MALFORMED, id="damaged data"
        ),
        pytest.param(
            (data(wire.varint_field(1, 1), wire.bytes_field(2, b"x" * (MAX_DATA_PAYLOAD + 1))),),
            Violation.TOO_LARGE,
            id="payload of 234 bytes",
        ),
        pytest.param(
            (data(*TEXT), wire.bytes_field(99, b"x" * MAX_PACKET)),
            Violation.TOO_LARGE,
            id="padded packet",
        ),
    ],
)
def test_violations(packet: tuple[bytes, ...], violation: Violation) -> None:
    """Each way in which the radio could read a packet otherwise is named."""
    assert raw_packet(*packet).violations == {violation}


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(wire.varint_field(3, 1), id="want_config_id"),
        pytest.param(wire.bytes_field(99, b"newer"), id="unknown field"),
        pytest.param(to_radio(mesh_packet()), id="another packet"),
    ],
)
def test_packet_is_not_alone(extra: bytes) -> None:
    """A packet beside another variant is still named by its id, so that a refusal can be seen."""
    frame = parse(extra + to_radio(mesh_packet(packet_id=77)))
    assert isinstance(frame, Packet)
    assert frame.packet.id == 77
    assert frame.packet.violations == {Violation.SEVERAL_VARIANTS}


def test_limits_are_allowed() -> None:
    """The longest payload, negative and wide numbers, and newer fields are no violations."""
    packet = mesh_packet(b"x" * MAX_DATA_PAYLOAD)
    packet.rx_rssi = -120
    packet.rx_time = 0xFFFFFFFF
    newer = wire.varint_field(150, 1 << 40) + wire.bytes_field(151, b"x") * 2
    assert raw_packet(packet.SerializeToString(), newer).violations == frozenset()


def test_padded_varints_are_read() -> None:
    """A port number written with needless bytes is the same port number."""
    assert raw_packet(data(b"\x08\x86\x80\x00")).portnum == PORT.ADMIN_APP


def test_encrypted() -> None:
    """Of an encrypted packet nothing is known but its envelope."""
    packet = raw_packet(wire.fixed32_field(2, 5), wire.bytes_field(5, b"secret"))
    assert packet.encrypted
    assert packet.violations == frozenset()
    assert (packet.destination, packet.portnum, packet.payload) == (5, 0, b"")


def test_content_stays_out_of_logs() -> None:
    """What a packet carries is not part of what a log line would show of it."""
    frame = parse(to_radio(mesh_packet(b"a private word")))
    assert "private" not in repr(frame)
    assert "private" not in repr(parse(wire.bytes_field(6, b"a private word")))


def test_another_payload() -> None:
    """Only the payload changes, fields that are newer than the schema stay."""
    raw = wire.bytes_field(
        4, b"".join(TEXT) + wire.varint_field(3, 0) + wire.bytes_field(77, b"newer")
    )
    changed = with_payload(raw_packet(raw, wire.fixed32_field(7, 0)), b"changed")
    assert changed.payload == b"changed"
    assert changed.raw == wire.bytes_field(
        4,
        TEXT[0]
        + wire.bytes_field(2, b"changed")
        + wire.varint_field(3, 0)
        + wire.bytes_field(77, b"newer"),
    ) + wire.fixed32_field(7, 0)


@given(st.binary(max_size=512))
def test_any_bytes(payload: bytes) -> None:
    """No bytes upset the reader."""
    parse(payload)


@given(st.binary(max_size=200))
def test_any_packet(raw: bytes) -> None:
    """No bytes inside a packet upset the reader."""
    parse(wire.bytes_field(1, raw))
    parse(wire.bytes_field(1, wire.bytes_field(4, raw)))


@given(
    st.builds(
        mesh_packet,
        st.binary(max_size=MAX_DATA_PAYLOAD),
        portnum=st.sampled_from(PORT.values()),
        sender=st.integers(0, 0xFFFFFFFF),
        to=st.integers(0, 0xFFFFFFFF),
        packet_id=st.integers(0, 0xFFFFFFFF),
        channel=st.integers(0, 7),
        want_response=st.booleans(),
    )
)
def test_whatever_a_client_may_write_is_unambiguous(packet: mesh_pb2.MeshPacket) -> None:
    """Nothing that the schema's own classes write is a violation."""
    read = parsed(packet)
    assert read.violations == frozenset()
    assert read.raw == packet.SerializeToString()
    assert read.payload == packet.decoded.payload
    assert read.portnum == packet.decoded.portnum
