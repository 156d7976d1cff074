"""Administration of a simulated Meshtastic node, executed on its state.

Source: `src/modules/AdminModule.cpp` of the firmware, and recordings of 2.7.26 and 2.8.0.
"""

from collections.abc import Callable
import random
from typing import Final, Literal

from google.protobuf.message import DecodeError
from meshtastic.protobuf import (
    admin_pb2,
    channel_pb2,
    config_pb2,
    connection_status_pb2,
    mesh_pb2,
    module_config_pb2,
)

from .meshtastic_config import Clock, Flavour
from .meshtastic_state import CONFIG_NAMES, MODULE_NAMES, SEKRIT, NodeState

PASSKEY_SIZE: Final = 8
PASSKEY_RENEWAL: Final = 150.0
"""Seconds after which the next answer carries a new session key."""

type Restart = Literal["reboot", "factory_reset", "nodedb_reset", "shutdown", "config"]
"""Why the node restarts: an order, or a change that the firmware restarts for."""

RESTARTS: Final[dict[str, Restart]] = {
    "reboot_seconds": "reboot",
    "reboot_ota_seconds": "reboot",
    "ota_request": "reboot",
    "enter_dfu_mode_request": "shutdown",
    "shutdown_seconds": "shutdown",
    "exit_simulator": "shutdown",
    "factory_reset_device": "factory_reset",
    "factory_reset_config": "factory_reset",
    "nodedb_reset": "nodedb_reset",
}

type Answer = admin_pb2.AdminMessage | mesh_pb2.Routing.Error.ValueType | None
"""A reply; an error to reply with in its place; or nothing, when a plain acknowledgement does."""


class AdminModule:
    """Executes admin messages from the client, which the firmware trusts whatever it sends."""

    def __init__(
        self,
        state: NodeState,
        flavour: Flavour,
        clock: Clock,
        rng: random.Random,
        restart: Callable[[Restart], None],
    ) -> None:
        """Act on `state`; call `restart` where the firmware would restart."""
        self._state = state
        self._flavour: Flavour = flavour
        self._clock = clock
        self._rng = rng
        self._restart = restart
        self._editing = False
        self._passkey = b""
        self._passkey_since = 0.0
        self.executed: list[admin_pb2.AdminMessage] = []
        """Every message that was acted upon or answered, in order."""

    def handle(self, payload: bytes, *, want_response: bool) -> Answer:
        """Execute one admin message and return the answer."""
        try:
            message = admin_pb2.AdminMessage.FromString(payload)
        except DecodeError:
            return None
        if self._state.configs["security"].security.is_managed:
            return None
        self.executed.append(message)
        name = message.WhichOneof("payload_variant")
        if name is None:
            return None
        if name.startswith("get_") and name.endswith("_request"):
            return self._get(name, message)
        self._set(name, message)
        # A change that asks for a response gets one although there is nothing to tell.
        return mesh_pb2.Routing.Error.NONE if want_response else None

    def new_session(self) -> None:
        """Forget the session key and a half-done edit, as a restart does."""
        self._passkey = b""
        self._editing = False

    # Reading.

    def _session_passkey(self) -> bytes:
        now = self._clock()
        if not self._passkey or now - self._passkey_since > PASSKEY_RENEWAL:
            self._passkey = self._rng.randbytes(PASSKEY_SIZE)
            self._passkey_since = now
        return self._passkey

    def _get(self, name: str, message: admin_pb2.AdminMessage) -> Answer:
        state = self._state
        reply = admin_pb2.AdminMessage()
        match name:
            case "get_owner_request":
                reply.get_owner_response.CopyFrom(state.user)
            case "get_channel_request":
                index = message.get_channel_request - 1  # Asked for as index + 1.
                if not 0 <= index < len(state.channels):
                    return mesh_pb2.Routing.Error.BAD_REQUEST
                reply.get_channel_response.CopyFrom(state.channels[index])
            case "get_config_request":
                if message.get_config_request >= len(CONFIG_NAMES):
                    return mesh_pb2.Routing.Error.BAD_REQUEST
                section = CONFIG_NAMES[message.get_config_request]
                reply.get_config_response.CopyFrom(state.configs[section])
            case "get_module_config_request":
                kind = message.get_module_config_request
                module = state.modules.get(MODULE_NAMES[kind]) if kind < len(MODULE_NAMES) else None
                reply.get_module_config_response.CopyFrom(
                    module or module_config_pb2.ModuleConfig()
                )
            case "get_device_metadata_request":
                reply.get_device_metadata_response.CopyFrom(state.metadata)
            case "get_canned_message_module_messages_request":
                if not state.modules["canned_message"].canned_message.enabled:
                    return mesh_pb2.Routing.Error.NONE
                reply.get_canned_message_module_messages_response = state.canned_messages
            case "get_ringtone_request":
                reply.get_ringtone_response = state.ringtone
            case "get_device_connection_status_request":
                reply.get_device_connection_status_response.CopyFrom(_connection_status())
            case "get_node_remote_hardware_pins_request":
                reply.get_node_remote_hardware_pins_response.SetInParent()
            case "get_ui_config_request":
                reply.get_ui_config_response.CopyFrom(state.ui)
                return reply  # The one answer that carries no session key.
            case _:
                return None
        reply.session_passkey = self._session_passkey()
        return reply

    # Changing.

    def _set(self, name: str, message: admin_pb2.AdminMessage) -> None:
        state = self._state
        match name:
            case "set_owner":
                self._set_owner(message.set_owner)
            case "set_channel":
                self._set_channel(message.set_channel)
            case "set_config":
                self._set_config(message.set_config)
            case "set_module_config":
                self._set_module(message.set_module_config)
            case "set_canned_message_module_messages":
                state.canned_messages = message.set_canned_message_module_messages
            case "set_ringtone_message":
                state.ringtone = message.set_ringtone_message
            case "store_ui_config":
                state.ui.CopyFrom(message.store_ui_config)
            case "set_time_only":
                state.time_known = True
            case "set_fixed_position":
                state.position.CopyFrom(message.set_fixed_position)
                state.configs["position"].position.fixed_position = True
            case "remove_fixed_position":
                state.position.Clear()
                state.configs["position"].position.fixed_position = False
            case "begin_edit_settings":
                self._editing = True
            case "commit_edit_settings":
                self._editing = False
                self._restart("config")
            case "add_contact":
                self._add_contact(message.add_contact)
            case _ if name in RESTARTS:
                self._order(name)
            case _:
                self._mark(name, message)

    def _mark(self, name: str, message: admin_pb2.AdminMessage) -> None:
        """Change what the database says about one node.

        Unknown nodes stay unknown, except that 2.8 ignores them, too.
        """
        num = getattr(message, name)
        if name == "set_ignored_node" and self._flavour == "2.8":
            self._state.heard(num)
        record = self._state.nodes.get(num) if isinstance(num, int) else None
        if record is None:
            return
        match name:
            case "remove_by_nodenum":
                del self._state.nodes[record.num]
            case "set_favorite_node":
                record.is_favorite = True
            case "remove_favorite_node":
                record.is_favorite = False
            case "set_ignored_node":
                self._ignore(record)
            case "remove_ignored_node":
                record.is_ignored = False
            case "toggle_muted_node":
                record.is_muted = not record.is_muted

    def _add_contact(self, contact: admin_pb2.SharedContact) -> None:
        record = self._state.heard(contact.node_num)
        record.user.CopyFrom(contact.user)
        if contact.should_ignore:
            record.is_favorite = False
            self._ignore(record)
        else:
            role = self._state.configs["device"].device.role
            record.is_favorite |= role != config_pb2.Config.DeviceConfig.Role.CLIENT_BASE
            record.is_key_manually_verified |= contact.manually_verified

    def _ignore(self, record: mesh_pb2.NodeInfo) -> None:
        record.is_ignored = True
        for measured in ("device_metrics", "position"):
            record.ClearField(measured)
        if self._flavour == "2.7":
            record.user.ClearField("public_key")

    def _order(self, name: str) -> None:
        if name in {"factory_reset_device", "nodedb_reset", "factory_reset_config"}:
            self._state.nodes.clear()
        if name == "factory_reset_device":
            # Only the whole reset takes the keys, and with them the identity on 2.8.
            self._new_keys()
        self._restart(RESTARTS[name])

    def _new_keys(self) -> None:
        public, private = self._rng.randbytes(32), self._rng.randbytes(32)
        self._state.take_identity(self._state.num, public, private)

    def _set_owner(self, user: mesh_pb2.User) -> None:
        """Take the fields that are filled; an empty name keeps the present one."""
        own = self._state.user
        if user.long_name:
            own.long_name = user.long_name
        if user.short_name:
            own.short_name = user.short_name
        own.is_licensed = user.is_licensed
        if user.HasField("is_unmessagable"):
            own.is_unmessagable = user.is_unmessagable

    def _set_channel(self, channel: channel_pb2.Channel) -> None:
        channels = self._state.channels
        if not 0 <= channel.index < len(channels):
            return
        if channel.role == channel_pb2.Channel.Role.PRIMARY:
            # There is one primary: a new one makes the old one secondary.
            for other in channels:
                if other.role == channel_pb2.Channel.Role.PRIMARY:
                    other.role = channel_pb2.Channel.Role.SECONDARY
        channels[channel.index].CopyFrom(channel)

    def _set_config(self, config: config_pb2.Config) -> None:
        name = config.WhichOneof("payload_variant")
        if name is None or name == "sessionkey":
            return
        present = self._state.configs[name]
        if name == "network" and config.network.wifi_psk == SEKRIT:
            config.network.wifi_psk = present.network.wifi_psk
        if name == "security" and not config.security.private_key:
            if self._flavour == "2.8":
                config.security.private_key = present.security.private_key
                config.security.public_key = present.security.public_key
            else:
                # 2.7 and older make a new pair when the key is missing.
                self._new_keys()
                config.security.private_key = present.security.private_key
                config.security.public_key = present.security.public_key
        present.CopyFrom(config)
        if not self._editing:
            self._restart("config")

    def _set_module(self, module: module_config_pb2.ModuleConfig) -> None:
        name = module.WhichOneof("payload_variant")
        if name is None or name not in self._state.modules:
            return
        present = self._state.modules[name]
        if name == "mqtt" and module.mqtt.password == SEKRIT:
            module.mqtt.password = present.mqtt.password
        present.CopyFrom(module)
        if not self._editing:
            self._restart("config")


def _connection_status() -> connection_status_pb2.DeviceConnectionStatus:
    status = connection_status_pb2.DeviceConnectionStatus()
    status.wifi.status.is_connected = True
    status.serial.baud = 115200
    return status
