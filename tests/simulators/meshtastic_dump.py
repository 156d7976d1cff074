"""The answer to `want_config_id`: the frames of a handshake, in the firmware's order.

Source: `src/mesh/PhoneAPI.cpp` (`getFromRadio`), whose comment says that clients rely on the order,
and recordings of 2.7.26 and 2.8.0.
"""

from collections.abc import Iterator
from typing import Final
import zlib

from meshtastic.protobuf import mesh_pb2, module_config_pb2, portnums_pb2, telemetry_pb2

from .meshtastic_config import Flavour
from .meshtastic_state import BROADCAST, MIN_APP_VERSION, NodeState

ONLY_CONFIG: Final = 69420
"""Nonce that asks for everything but the other nodes."""
ONLY_NODES: Final = 69421
"""Nonce that asks for the nodes alone."""

MODULE_FRAMES: Final[dict[Flavour, int]] = {"2.7": 16, "2.8": 17}
"""How many `moduleConfig` frames are sent; those that the firmware has no answer for are empty."""

REGION_PRESETS: Final = bytes.fromhex(
    "9a01ef010a0c0a0a000103040506070809100a0d0a0b000103040506070a0b0c0d0a0f0a0b000103040506070a0b0c"
    "0d100a0a0f0a0b000103040506070a0b0c0d100d0a080a020e0f100e18010a080a020c0d100d180112020801120208"
    "021204080310011204081d1002120408201003120208041202080512020806120208161202080912020807120208081"
    "202080a1202080b1202080c1202080e1202081012020811120208121202081312020814120208151202081712020818"
    "120208191202081a1204081b10041204081c1004120408211004120408251005120408221005120408231005120408"
    "2410051202080d"
)
"""`FromRadio` field 19 (`region_presets`) as 2.8 sends it; the published schema lacks it."""


def node_info_frame(info: mesh_pb2.NodeInfo) -> bytes:
    """Return `info` as a `FromRadio` payload."""
    return mesh_pb2.FromRadio(node_info=info).SerializeToString()


def own_node_info(state: NodeState, flavour: Flavour, now: int) -> mesh_pb2.NodeInfo:
    """Return the node's record of itself; `now` is the time in seconds since 1970."""
    info = mesh_pb2.NodeInfo(
        num=state.num,
        user=state.user,
        position=state.position,
        device_metrics=state.metrics,
        is_favorite=True,
    )
    if flavour == "2.8":
        info.user.macaddr = bytes(6)
    if state.time_known:
        info.last_heard = now
        info.position.time = now
    return info


def _listed(info: mesh_pb2.NodeInfo, flavour: Flavour) -> mesh_pb2.NodeInfo:
    """Return another node's record as the dump shows it: 2.8 leaves the measured parts out."""
    if flavour == "2.7":
        return info
    thin = mesh_pb2.NodeInfo()
    thin.CopyFrom(info)
    thin.ClearField("position")
    thin.ClearField("device_metrics")
    if thin.HasField("user"):
        thin.user.macaddr = bytes(6)
    return thin


def dump(state: NodeState, flavour: Flavour, nonce: int, now: int) -> Iterator[bytes]:
    """Yield the `FromRadio` payloads that answer `want_config_id = nonce`, but for the closing one.

    Each is made from the state as it is at that moment. `now` is the time in seconds since 1970.
    """
    own = node_info_frame(own_node_info(state, flavour, now))
    if nonce != ONLY_NODES:
        my_info = mesh_pb2.MyNodeInfo(
            my_node_num=state.num,
            reboot_count=state.reboot_count,
            min_app_version=MIN_APP_VERSION,
            device_id=state.device_id,
            pio_env="heltec-v3",
            nodedb_count=len(state.nodes) + 1,
        )
        yield mesh_pb2.FromRadio(my_info=my_info).SerializeToString()
        yield mesh_pb2.FromRadio(deviceuiConfig=state.ui).SerializeToString()
    yield own
    if nonce != ONLY_NODES:
        yield mesh_pb2.FromRadio(metadata=state.metadata).SerializeToString()
        if flavour == "2.8":
            yield REGION_PRESETS
        for channel in state.channels:
            yield mesh_pb2.FromRadio(channel=channel).SerializeToString()
        for config in state.configs.values():
            yield mesh_pb2.FromRadio(config=config).SerializeToString()
        for module in state.modules.values():
            yield mesh_pb2.FromRadio(moduleConfig=module).SerializeToString()
        empty = mesh_pb2.FromRadio(moduleConfig=module_config_pb2.ModuleConfig())
        for _ in range(MODULE_FRAMES[flavour] - len(state.modules)):
            yield empty.SerializeToString()
    if nonce != ONLY_CONFIG:
        for num in list(state.nodes):
            if (info := state.nodes.get(num)) is not None:
                yield node_info_frame(_listed(info, flavour))
    if nonce != ONLY_NODES:
        for file in state.files:
            yield mesh_pb2.FromRadio(fileInfo=file).SerializeToString()


def complete_frame(nonce: int) -> bytes:
    """Return the payload that ends the answer to `nonce`."""
    return mesh_pb2.FromRadio(config_complete_id=nonce).SerializeToString()


def replay(state: NodeState) -> Iterator[bytes]:
    """Yield what 2.8 sends after a dump with nodes.

    That is the last position, telemetry and status that it has of each, dressed as broadcasts that
    look as if they had just come off the air.
    """
    for num, info in list(state.nodes.items()):
        port = portnums_pb2.PortNum
        if info.HasField("position"):
            yield _replayed(
                info, port.POSITION_APP, info.position.SerializeToString(), info.position.time
            )
        if info.HasField("device_metrics"):
            telemetry = telemetry_pb2.Telemetry(device_metrics=info.device_metrics)
            yield _replayed(
                info, port.TELEMETRY_APP, telemetry.SerializeToString(), info.last_heard
            )
        if (measured := state.environment.get(num)) is not None:
            telemetry = telemetry_pb2.Telemetry(environment_metrics=measured)
            yield _replayed(
                info, port.TELEMETRY_APP, telemetry.SerializeToString(), info.last_heard
            )
        if (status := state.status.get(num)) is not None:
            payload = mesh_pb2.StatusMessage(status=status).SerializeToString()
            yield _replayed(info, port.NODE_STATUS_APP, payload, info.last_heard)


def _replayed(
    info: mesh_pb2.NodeInfo, port: portnums_pb2.PortNum.ValueType, payload: bytes, time: int
) -> bytes:
    packet = mesh_pb2.MeshPacket(
        to=BROADCAST,
        decoded=mesh_pb2.Data(portnum=port, payload=payload),
        # Stable over repeated dumps: the firmware derives it from what it replays.
        id=zlib.crc32(payload, info.num) or 1,
        rx_time=time,
        rx_snr=info.snr,
        hop_limit=3,
        hop_start=3,
        priority=mesh_pb2.MeshPacket.Priority.BACKGROUND,
        transport_mechanism=mesh_pb2.MeshPacket.TransportMechanism.TRANSPORT_LORA,
    )
    setattr(packet, "from", info.num)
    return mesh_pb2.FromRadio(packet=packet).SerializeToString()
