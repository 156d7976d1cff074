"""The radio's configuration and node database, as it last told them and kept current since.

Clients are answered from here. What the radio sent is kept byte for byte and in its order; the
last complete capture is served until a newer one is complete.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from . import mirror_admin, mirror_live, mirror_store, nodes, packets, wire
from .admin import AdminQuery
from .framing import encode
from .mirror_live import REPLAYED
from .mirror_state import (
    NO_CHANGE,
    SECURITY_CONFIG,
    Captured,
    IncompleteError,
    MirrorChange,
    MirrorState,
    number_field,
    read_captured,
)
from .nodes import USER, ReadingKey
from .packets import MeshPacket
from .redaction import redact, restore
from .replay import Replay, ReplayKind, replayed_packet
from .soundness import is_sound

MAX_NODES: Final = 4000
"""Far more than any radio remembers."""
MAX_CAPTURE: Final = 8000
"""Frames of one capture: all nodes that a radio can have, its configuration and its files."""
MAX_ADMIN_ANSWERS: Final = 64

_IS_MANAGED: Final = 4

# FromRadio variants that are no configuration: packet, log_record, config_complete_id, rebooted,
# queueStatus, xmodemPacket, mqttClientProxyMessage, clientNotification, lockdown_status
_NO_CONFIGURATION: Final = frozenset({0, packets.PACKET, 6, 7, 8, 11, 12, 14, 16, 18})


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureResult:
    """What came of a capture."""

    problem: str | None = None
    """Why it is not complete; None where it is."""
    identity_changed: bool = False
    """Another radio answered. Nothing was taken over yet: see `Mirror.adopt_capture`."""
    change: MirrorChange = NO_CHANGE
    """What differs from before, once it was taken over."""

    @property
    def is_complete(self) -> bool:
        """Whether the radio told all that a client needs."""
        return self.problem is None


class Mirror:
    """What clients may ask of the radio, without asking the radio. Satisfies `policy.MirrorView`.

    All times are Unix seconds. Nothing here raises for what a radio sends.
    """

    def __init__(self, *, max_nodes: int = MAX_NODES) -> None:
        """Start knowing nothing.

        Args:
            max_nodes: How many nodes are kept; then the least recently heard one that is no
                favourite gives way to a new one.
        """
        self.counters: Counter[str] = Counter()
        """What was dropped or damaged, by a stable name."""
        self.is_restored = False
        """Whether all that is known comes from an earlier run: the private key is not."""
        self._max_nodes = max_nodes
        self._state: MirrorState | None = None
        self.is_capture_damaged = False
        """Whether a frame of the answer that is arriving did not come whole."""
        self._capture: list[Captured] | None = None
        self._pending: MirrorState | None = None
        self._answers: dict[AdminQuery, bytes] = {}

    # Capture

    def begin_capture(self) -> None:
        """The radio was asked for everything; what was captured of an earlier answer is void."""
        self._capture = []
        self._pending = None
        self.is_capture_damaged = False

    def capture(self, payload: bytes) -> bool:
        """Take a frame that came before the end of the answer.

        Args:
            payload: A ``FromRadio`` as it came.

        Returns:
            Whether it belongs to the configuration. Other frames are live ones, for `live`.
        """
        if self._capture is None:
            return False
        try:
            captured = read_captured(payload)
            if captured.number in _NO_CONFIGURATION:
                return False
            if captured.number <= packets.LAST_KNOWN:
                wire.scan(captured.value)
            redact(payload)
        except wire.WireError:
            self.counters["malformed_frames"] += 1
            self.is_capture_damaged = True
            return True
        if captured.number == packets.MY_INFO:
            # Every answer begins so: what came before is the rest of what somebody else had asked.
            self._capture.clear()
            self.is_capture_damaged = False
        if not is_sound(payload):
            # It may as well be newer than our schema, so it is kept.
            self.is_capture_damaged = True
        if len(self._capture) >= MAX_CAPTURE:
            self.counters["capture_overflow"] += 1
        else:
            self._capture.append(captured)
        return True

    def complete_capture(self) -> CaptureResult:
        """The radio has said everything: serve it from now on, unless it is another radio."""
        captured, self._capture = self._capture, None
        if captured is None:
            return CaptureResult(problem="no capture was begun")
        try:
            state = MirrorState(captured, redact, self._max_nodes, self.counters)
        except IncompleteError as error:
            self.counters["incomplete_captures"] += 1
            return CaptureResult(problem=str(error))
        self._pending = state
        if self._state is not None and self._state.my_node_num != state.my_node_num:
            return CaptureResult(identity_changed=True)
        return CaptureResult(change=self.adopt_capture())

    def adopt_capture(self) -> MirrorChange:
        """Serve the last complete capture, also where it is of another radio than before.

        Returns:
            What differs from before.
        """
        state, before = self._pending, self._state
        if state is None:
            return NO_CHANGE
        self._pending = None
        known: set[int] = set()
        if before is not None and before.my_node_num == state.my_node_num:
            state.inherit(before)
            known = set(before.nodes)
        # What was asked in an earlier session may have been set since, at the radio itself.
        self._answers.clear()
        self._state = state
        self.is_restored = False
        return MirrorChange(
            nodes=frozenset(state.nodes),
            new_nodes=frozenset(state.nodes.keys() - known),
            removed_nodes=frozenset(known - state.nodes.keys()),
            channels=True,
            config=True,
        )

    def abandon_capture(self) -> None:
        """The link was lost amid the answer."""
        self._capture = None

    def clear(self) -> None:
        """Forget the radio."""
        self._state = self._pending = self._capture = None
        self._answers.clear()
        self.is_restored = False

    @property
    def has_snapshot(self) -> bool:
        """Whether there is anything to serve."""
        return self._state is not None

    @property
    def state(self) -> MirrorState | None:
        """What is served, for `decode`; None as long as there is nothing."""
        return self._state

    # Live

    def live(self, payload: bytes, now: float) -> MirrorChange:
        """Follow what the radio says while it is in use.

        Args:
            payload: A ``FromRadio`` as it came.
            now: When it came.
        """
        if self._state is None:
            return NO_CHANGE
        try:
            return mirror_live.follow(self._state, payload, now)
        except wire.WireError:
            self.counters["malformed_frames"] += 1
            return NO_CHANGE

    def packet(self, packet: MeshPacket, payload: bytes, now: float) -> MirrorChange:
        """Follow a packet that was read already; `live` reads one itself.

        Args:
            packet: What the frame holds.
            payload: The ``FromRadio`` as it came.
            now: When it came.
        """
        if self._state is None:
            return NO_CHANGE
        try:
            return mirror_live.follow_packet(self._state, packet, payload, now)
        except wire.WireError:
            self.counters["malformed_frames"] += 1
            return NO_CHANGE

    def apply_admin(self, payload: bytes) -> MirrorChange:
        """Follow a command to the radio itself that it has taken.

        Args:
            payload: The ``AdminMessage`` as it was sent.
        """
        if self._state is None:
            return NO_CHANGE
        # What the radio was asked before, it may answer otherwise now.
        self._answers.clear()
        return mirror_admin.apply(self._state, restore(payload, self))

    # Replay

    def replay(self, kind: ReplayKind, *, redacted: bool) -> Replay | None:
        """Return what answers a ``want_config_id``, up to its ``config_complete_id``.

        Args:
            kind: How much was asked for.
            redacted: Whether the client may not see secrets.

        Returns:
            The frames, or None as long as nothing was captured.
        """
        state = self._state
        return state.layout.replay(kind, state.own, redacted=redacted) if state else None

    def after_complete(self, kind: ReplayKind) -> list[bytes]:
        """Return the frames, each with its envelope, that follow a ``config_complete_id``.

        Firmware 2.8 tells so what it has stored of other nodes; older firmware tells it in the
        node infos, and nothing here.

        Args:
            kind: How much was asked for.
        """
        state = self._state
        if state is None or kind is ReplayKind.CONFIG or not state.stores_readings:
            return []
        frames: list[bytes] = []
        for key in REPLAYED:
            for num, record in state.nodes.items():
                reading = record.readings.get(key)
                if reading is None or record is state.own:
                    continue
                if reading.frame is None:
                    reading.frame = replayed_packet(num, key, reading, state.hop_limit)
                frames.append(encode(reading.frame))
        return frames

    # What the policy asks

    @property
    def my_node_num(self) -> int | None:
        """The radio's own number; None until its identity is known."""
        return self._state.my_node_num if self._state else None

    def own_user(self) -> bytes | None:
        """Return the radio's own ``User``."""
        return self._state.own.message(USER) if self._state else None

    def user_of(self, num: int) -> bytes | None:
        """Return the ``User`` of a node."""
        record = self._state.nodes.get(num) if self._state else None
        return record.message(USER) if record else None

    def channel(self, index: int) -> bytes | None:
        """Return the ``Channel`` of that slot, 0 to 7."""
        return self._state.message(packets.CHANNEL, index) if self._state else None

    def config(self, tag: int) -> bytes | None:
        """Return the ``Config`` that holds this member of its oneof."""
        return self._state.message(packets.CONFIG, tag) if self._state else None

    def module_config(self, tag: int) -> bytes | None:
        """Return the ``ModuleConfig`` that holds this member of its oneof."""
        return self._state.message(packets.MODULE_CONFIG, tag) if self._state else None

    def metadata(self) -> bytes | None:
        """Return the radio's ``DeviceMetadata``."""
        return self._state.message(packets.METADATA) if self._state else None

    def ui_config(self) -> bytes | None:
        """Return the radio's ``DeviceUIConfig``."""
        return self._state.message(packets.UI_CONFIG) if self._state else None

    def is_managed(self) -> bool:
        """Return whether the radio takes administration from other nodes only."""
        security = self._state.inner(packets.CONFIG, SECURITY_CONFIG) if self._state else None
        return bool(number_field(security, _IS_MANAGED))

    def admin_answer(self, query: AdminQuery) -> bytes | None:
        """Return the ``AdminMessage`` with which the radio once answered this query."""
        return self._answers.get(query)

    def remember_admin_answer(self, query: AdminQuery, payload: bytes) -> None:
        """Keep the radio's answer to a query; the oldest of too many is forgotten."""
        self._answers.pop(query, None)
        while len(self._answers) >= MAX_ADMIN_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[query] = payload

    def recent_telemetry(self, variant: int, now: float, max_age: float) -> bytes | None:
        """Return the own node's newest ``Telemetry`` of that variant, if young enough.

        Args:
            variant: The field number in ``Telemetry``: 2 device metrics, 6 local stats, ...
            now: The present.
            max_age: Seconds since it arrived.
        """
        return self._recent((packets.TELEMETRY, variant), now, max_age)

    def recent_position(self, now: float, max_age: float) -> bytes | None:
        """Return the own node's newest ``Position``, if young enough."""
        return self._recent((packets.POSITION, 0), now, max_age)

    def own_position(self) -> bytes | None:
        """Return the ``Position`` that the own node was last known to have; it tells its time."""
        return self._state.own.message(nodes.POSITION) if self._state else None

    def _recent(self, key: ReadingKey, now: float, max_age: float) -> bytes | None:
        reading = self._state.own.readings.get(key) if self._state else None
        if reading is None or not 0 <= now - reading.arrived <= max_age:
            return None
        return reading.payload

    # Over a restart

    def snapshot(self) -> dict[str, object]:
        """Return all of it, ready for JSON; without the private key, empty before a capture."""
        return mirror_store.dump(self._state)

    def restore(self, snapshot: object) -> None:
        """Take over what `snapshot` returned in an earlier run.

        Raises:
            ValueError: It is damaged, or of another version; the mirror is empty.
        """
        self.clear()
        self._state = mirror_store.load(snapshot, redact, self._max_nodes, self.counters)
        self.is_restored = self._state is not None
