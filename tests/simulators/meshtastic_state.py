"""What a simulated Meshtastic node keeps: identity, channels, configuration, node database.

The values are such as real nodes have, secrets included, so that a test can look for them where
they must not appear.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
import random
from typing import Final
import zlib

from meshtastic.protobuf import (
    channel_pb2,
    config_pb2,
    device_ui_pb2,
    mesh_pb2,
    module_config_pb2,
    telemetry_pb2,
)

from .meshtastic_config import FIRMWARE_VERSIONS, NodeConfig

BROADCAST: Final = 0xFFFFFFFF
BROADCAST_NO_LORA: Final = 1
"""`NODENUM_BROADCAST_NO_LORA`: to everybody who is not reached over the air."""
CHANNEL_COUNT: Final = 8
MIN_APP_VERSION: Final = 30200

SEKRIT: Final = "sekrit"
"""The word that stands for "keep the present value" in a password field (`AdminModule.cpp`)."""

WIFI_PSK: Final = "correct horse battery staple"
MQTT_PASSWORD: Final = "large4cats"
FIXED_PIN: Final = 472913
DISPLAY_PIN: Final = 860731

CONFIG_NAMES: Final = tuple(
    f.name for f in config_pb2.Config.DESCRIPTOR.oneofs_by_name["payload_variant"].fields
)
"""The configuration sections in the firmware's order, which is that of their tags."""
MODULE_NAMES: Final = tuple(
    f.name
    for f in module_config_pb2.ModuleConfig.DESCRIPTOR.oneofs_by_name["payload_variant"].fields
)
"""The module sections in the order of their tags; 2.7 fills the first 13 of them."""
MODULES_OF_2_7: Final = 13


@dataclass(slots=True)
class NodeState:
    """Everything that a handshake shows and an admin message can change."""

    num: int
    user: mesh_pb2.User
    private_key: bytes
    device_id: bytes
    metadata: mesh_pb2.DeviceMetadata
    channels: list[channel_pb2.Channel]
    configs: dict[str, config_pb2.Config]
    modules: dict[str, module_config_pb2.ModuleConfig]
    ui: device_ui_pb2.DeviceUIConfig
    files: list[mesh_pb2.FileInfo]
    position: mesh_pb2.Position
    metrics: telemetry_pb2.DeviceMetrics
    time_known: bool
    nodes: dict[int, mesh_pb2.NodeInfo] = field(default_factory=dict)
    """The other nodes by number, in the order of the database."""
    environment: dict[int, telemetry_pb2.EnvironmentMetrics] = field(default_factory=dict)
    """Last environment measurement of another node (2.8 replays it after the dump)."""
    status: dict[int, str] = field(default_factory=dict)
    """Last status text of another node (2.8 replays it after the dump)."""
    canned_messages: str = "On my way|All well|Need help"
    ringtone: str = "24:d=32,o=5,b=565:f6,p,f6,4p,p,f6"
    reboot_count: int = 3

    def heard(self, num: int) -> mesh_pb2.NodeInfo:
        """Return the record of node `num`, a new one with its number alone if it is unknown."""
        return self.nodes.setdefault(num, mesh_pb2.NodeInfo(num=num))

    def public_key(self, num: int) -> bytes:
        """Return the public key on record for node `num`, empty if there is none."""
        record = self.nodes.get(num)
        return record.user.public_key if record is not None else b""

    def take_identity(self, num: int, public_key: bytes, private_key: bytes) -> None:
        """Become another node: other number and keys, as after a factory reset or a swap."""
        self.num = num
        self.private_key = private_key
        self.user.id = node_id(num)
        self.user.public_key = public_key
        security = self.configs["security"].security
        security.public_key = public_key
        security.private_key = private_key


def node_id(num: int) -> str:
    """Return the textual form of node number `num`: `!` and eight hex digits."""
    return f"!{num:08x}"


def make_state(config: NodeConfig) -> NodeState:
    """Return the state of a freshly started node as `config` describes it, without other nodes."""
    rng = random.Random(config.seed)
    public_key, private_key, mac = rng.randbytes(32), rng.randbytes(32), rng.randbytes(6)
    num = config.num
    if num is None:
        # 2.8 derives the number from the key, earlier firmware from the last bytes of the MAC.
        derived = zlib.crc32(public_key) if config.flavour == "2.8" else int.from_bytes(mac[2:])
        num = max(derived, 0x100)
    modules = MODULE_NAMES if config.flavour == "2.8" else MODULE_NAMES[:MODULES_OF_2_7]
    return NodeState(
        num=num,
        user=mesh_pb2.User(
            id=node_id(num),
            long_name=config.long_name,
            short_name=config.short_name,
            macaddr=mac,
            hw_model=mesh_pb2.HardwareModel.HELTEC_V3,
            public_key=public_key,
            is_unmessagable=False,
        ),
        private_key=private_key,
        device_id=rng.randbytes(16),
        metadata=mesh_pb2.DeviceMetadata(
            firmware_version=FIRMWARE_VERSIONS[config.flavour],
            device_state_version=25 if config.flavour == "2.8" else 24,
            canShutdown=True,
            hasWifi=True,
            hasBluetooth=True,
            position_flags=811,
            hw_model=mesh_pb2.HardwareModel.HELTEC_V3,
            hasPKC=True,
            excluded_modules=13760,
        ),
        channels=_channels(rng),
        configs={
            c.WhichOneof("payload_variant") or "": c for c in _configs(public_key, private_key)
        },
        modules={name: _module(name) for name in modules},
        ui=device_ui_pb2.DeviceUIConfig(
            screen_brightness=153, screen_timeout=30, settings_lock=True, pin_code=DISPLAY_PIN
        ),
        files=[
            mesh_pb2.FileInfo(file_name=f"/prefs/{name}", size_bytes=size)
            for name, size in (
                ("device.proto", 261),
                ("nodes.proto", 160 * config.nodes),
                ("channels.proto", 114),
                ("config.proto", 299),
                ("module.proto", 161),
                ("transmit_history.dat", 13),
            )
        ],
        position=mesh_pb2.Position(
            latitude_i=round(config.latitude * 1e7),
            longitude_i=round(config.longitude * 1e7),
            altitude=12,
        ),
        metrics=telemetry_pb2.DeviceMetrics(
            battery_level=101,
            voltage=4.17,
            channel_utilization=4.2,
            air_util_tx=0.8,
            uptime_seconds=86_400,
        ),
        time_known=config.time_known,
    )


def _channels(rng: random.Random) -> list[channel_pb2.Channel]:
    """Return all eight slots: a default primary, two private secondaries, the rest disabled."""
    settings, role = channel_pb2.ChannelSettings, channel_pb2.Channel.Role
    precise = channel_pb2.ModuleSettings(position_precision=13)
    return [
        channel_pb2.Channel(
            index=0, settings=settings(psk=b"\x01", module_settings=precise), role=role.PRIMARY
        ),
        channel_pb2.Channel(
            index=1, settings=settings(name="Home", psk=rng.randbytes(32)), role=role.SECONDARY
        ),
        channel_pb2.Channel(
            index=2,
            settings=settings(name="Friends", psk=rng.randbytes(16), uplink_enabled=True),
            role=role.SECONDARY,
        ),
        *(channel_pb2.Channel(index=i, settings=settings()) for i in range(3, CHANNEL_COUNT)),
    ]


def _configs(public_key: bytes, private_key: bytes) -> Iterable[config_pb2.Config]:
    """Return the ten sections in order, with values and secrets such as real nodes have."""
    c = config_pb2.Config
    yield c(device=c.DeviceConfig(node_info_broadcast_secs=10800, tzdef="CET-1CEST,M3.5.0,M10.5.0"))
    yield c(
        position=c.PositionConfig(
            position_broadcast_secs=3600,
            position_broadcast_smart_enabled=True,
            gps_update_interval=120,
            position_flags=811,
            gps_mode=c.PositionConfig.GpsMode.NOT_PRESENT,
        )
    )
    yield c(
        power=c.PowerConfig(
            wait_bluetooth_secs=60, sds_secs=0xFFFFFFFF, ls_secs=300, min_wake_secs=10
        )
    )
    yield c(
        network=c.NetworkConfig(
            wifi_enabled=True,
            wifi_ssid="attic",
            wifi_psk=WIFI_PSK,
            ntp_server="meshtastic.pool.ntp.org",
        )
    )
    yield c(display=c.DisplayConfig(screen_on_secs=600))
    yield c(
        lora=c.LoRaConfig(
            use_preset=True,
            region=c.LoRaConfig.RegionCode.EU_868,
            hop_limit=3,
            tx_enabled=True,
            tx_power=27,
            sx126x_rx_boosted_gain=True,
        )
    )
    yield c(
        bluetooth=c.BluetoothConfig(
            enabled=True, mode=c.BluetoothConfig.PairingMode.FIXED_PIN, fixed_pin=FIXED_PIN
        )
    )
    yield c(
        security=c.SecurityConfig(
            public_key=public_key, private_key=private_key, serial_enabled=True
        )
    )
    yield c(sessionkey=c.SessionkeyConfig())
    yield c(device_ui=device_ui_pb2.DeviceUIConfig())


def _module(name: str) -> module_config_pb2.ModuleConfig:
    """Return the default of module section `name`."""
    m = module_config_pb2.ModuleConfig
    match name:
        case "mqtt":
            return m(
                mqtt=m.MQTTConfig(
                    address="mqtt.meshtastic.org",
                    username="meshdev",
                    password=MQTT_PASSWORD,
                    encryption_enabled=True,
                    root="msh/EU_868",
                )
            )
        case "telemetry":
            return m(telemetry=m.TelemetryConfig(device_update_interval=1800))
        case "canned_message":
            return m(canned_message=m.CannedMessageConfig(enabled=True))
        case "ambient_lighting":
            return m(ambient_lighting=m.AmbientLightingConfig(current=10, blue=1))
    section = m()
    getattr(section, name).SetInParent()
    return section
