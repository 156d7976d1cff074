"""What is known of a radio, as the policy asks for it, read from a recorded configuration dump."""

from pathlib import Path
from typing import Self

from meshtastic.protobuf import mesh_pb2

from custom_components.meshmonitor.meshtastic import wire
from custom_components.meshmonitor.meshtastic.admin import AdminQuery
from tests.simulators.recording import MESHTASTIC_2_7, dump_frames


class RecordedView:
    """A radio that stands still: every part may be set by a test."""

    def __init__(self) -> None:
        """Know nothing."""
        self.my_node_num: int | None = None
        self.users: dict[int, bytes] = {}
        self.channels: dict[int, bytes] = {}
        self.configs: dict[int, bytes] = {}
        self.module_configs: dict[int, bytes] = {}
        self.device_metadata: bytes | None = None
        self.ui: bytes | None = None
        self.answers: dict[AdminQuery, bytes] = {}
        self.telemetry: dict[int, tuple[float, bytes]] = {}
        """Payload and time of arrival by variant."""
        self.position: tuple[float, bytes] | None = None
        self.kept_position: bytes | None = None
        self.managed = False
        self.is_restored = False

    @classmethod
    def recorded(cls, path: Path = MESHTASTIC_2_7) -> Self:
        """Return what the first full dump of a recording tells."""
        view = cls()
        for frame in dump_frames(path):
            (field,) = wire.scan(frame)
            body = wire.value_bytes(frame, field)
            match field.number:
                case 3:
                    view.my_node_num = mesh_pb2.MyNodeInfo.FromString(body).my_node_num
                case 4:
                    node = mesh_pb2.NodeInfo.FromString(body)
                    if node.HasField("user"):
                        view.users[node.num] = wire.value_bytes(body, wire.last(wire.scan(body), 2))
                case 5 if body:
                    view.configs[wire.scan(body)[0].number] = body
                case 9 if body:
                    view.module_configs[wire.scan(body)[0].number] = body
                case 10:
                    view.channels[wire.value_int(wire.last(wire.scan(body), 1))] = body
                case 13:
                    view.device_metadata = body
                case 17:
                    view.ui = body
        return view

    @property
    def own(self) -> int:
        """The radio's number, in tests that know it."""
        assert self.my_node_num is not None
        return self.my_node_num

    def own_user(self) -> bytes | None:
        """Return the radio's own user."""
        return self.users.get(self.my_node_num or 0)

    def user_of(self, num: int) -> bytes | None:
        """Return a node's user."""
        return self.users.get(num)

    def channel(self, index: int) -> bytes | None:
        """Return a channel."""
        return self.channels.get(index)

    def config(self, tag: int) -> bytes | None:
        """Return a config."""
        return self.configs.get(tag)

    def module_config(self, tag: int) -> bytes | None:
        """Return a module config."""
        return self.module_configs.get(tag)

    def metadata(self) -> bytes | None:
        """Return the metadata."""
        return self.device_metadata

    def ui_config(self) -> bytes | None:
        """Return the configuration of the device's own display."""
        return self.ui

    def admin_answer(self, query: AdminQuery) -> bytes | None:
        """Return what was fetched."""
        return self.answers.get(query)

    def recent_telemetry(self, variant: int, now: float, max_age: float) -> bytes | None:
        """Return telemetry that is young enough."""
        at, payload = self.telemetry.get(variant, (float("-inf"), b""))
        return payload if now - at <= max_age else None

    def recent_position(self, now: float, max_age: float) -> bytes | None:
        """Return the position if it is young enough."""
        at, payload = self.position or (float("-inf"), b"")
        return payload if now - at <= max_age else None

    def own_position(self) -> bytes | None:
        """Return what the radio keeps of its position."""
        return self.kept_position

    def is_managed(self) -> bool:
        """Return whether other nodes administer the radio."""
        return self.managed
