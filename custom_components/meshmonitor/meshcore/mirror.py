"""What the device is and holds, as it last told us: clients are served from here.

Responses are kept as they came, so that what newer firmware adds reaches the clients. Three things
are taken out of them on the way in: the Bluetooth PIN, what lies behind the end of a channel's
name, and a protocol version above the one that this code implements. The private key is never
asked for and never kept.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

from .codes import PROTOCOL_VERSION, AdvType, Cmd, Err, Push, Resp, TxtType
from .contacts import MAX_CONTACTS, ContactTable
from .frames import (
    CONTACT_FRAME_SIZE,
    DEVICE_INFO_SIZE,
    ChannelInfo,
    Contact,
    ContactMessage,
    DeviceInfo,
    FrameError,
    SelfInfo,
    clean_channel_info,
    contact_fields_end,
    contact_key,
    error_of,
    number_at,
)

SNAPSHOT_VERSION: Final = 1

type Commands = tuple[bytes, ...]
"""Commands that must be sent for the mirror to be right again."""

_KEPT: Final = {
    Cmd.GET_BATT_AND_STORAGE: Resp.BATT_AND_STORAGE,
    Cmd.GET_CUSTOM_VARS: Resp.CUSTOM_VARS,
    Cmd.GET_TUNING_PARAMS: Resp.TUNING_PARAMS,
    Cmd.GET_AUTOADD_CONFIG: Resp.AUTOADD_CONFIG,
    Cmd.GET_DEFAULT_FLOOD_SCOPE: Resp.DEFAULT_FLOOD_SCOPE,
}
"""Commands whose response is kept as it is."""

_SELF_CHANGES: Final = frozenset(
    {
        Cmd.SET_ADVERT_NAME,
        Cmd.SET_RADIO_PARAMS,
        Cmd.SET_RADIO_TX_POWER,
        Cmd.SET_ADVERT_LATLON,
        Cmd.SET_OTHER_PARAMS,
    }
)

READ_SELF: Final = bytes([Cmd.APP_START, PROTOCOL_VERSION]) + b"      MeshMonitor"
READ_DEVICE: Final = bytes([Cmd.DEVICE_QUERY, PROTOCOL_VERSION])


class Mirror:
    """The device's state, kept current by what it answers, pushes, and takes from clients."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.self_info: bytes | None = None
        self.info: SelfInfo | None = None
        self.device_info: bytes | None = None
        self.device: DeviceInfo | None = None
        self.contacts = ContactTable()
        self.channels: dict[int, bytes] = {}
        self.kept: dict[int, bytes] = {}
        """Other responses, by their code."""
        self.stats: dict[int, bytes] = {}
        """``STATS`` responses by their kind: 0 core, 1 radio, 2 packets."""
        self.contacts_full = False
        self.channels_changed = False
        """Set by every change of a channel, cleared by who took note."""
        self._clock_offset: float | None = None
        self._wanted: set[bytes] = set()

    @property
    def public_key(self) -> bytes | None:
        """The device's own key, once it is known."""
        return None if self.info is None else self.info.public_key

    @property
    def has_all_channels(self) -> bool:
        """Whether every slot of the channel table was read."""
        return self.device is not None and all(
            index in self.channels for index in range(self.device.max_channels)
        )

    def channel(self, index: int) -> ChannelInfo | None:
        """Return a channel slot, empty or not; None while it was not read."""
        frame = self.channels.get(index)
        return None if frame is None else ChannelInfo.parse(frame)

    def device_time(self, now: float) -> int:
        """Return what the device's clock shows, as far as it is known.

        Args:
            now: Unix time.
        """
        return int(now + (self._clock_offset or 0.0))

    def note_time(self, device_time: int, now: float) -> None:
        """Take note of what the device's clock showed at a Unix time."""
        self._clock_offset = device_time - now

    def clear(self) -> None:
        """Forget everything: another radio answers."""
        self.contacts.clear()
        self.channels.clear()
        self.kept.clear()
        self.stats.clear()
        self.self_info = self.info = self.device_info = self.device = None
        self.contacts_full = False
        self.channels_changed = True
        self._clock_offset = None
        self._wanted.clear()

    def adopt(self, other: Mirror) -> None:
        """Take over what another mirror knows, as after a restart."""
        self.self_info, self.info = other.self_info, other.info
        self.device_info, self.device = other.device_info, other.device
        self.contacts = other.contacts
        self.channels = other.channels
        self.kept = other.kept

    def is_wanted(self, key: bytes) -> bool:
        """Return whether a contact is about to be read again."""
        return key in self._wanted

    def forget_wanted(self) -> None:
        """Let contacts be asked for anew, because the link that would have answered is gone."""
        self._wanted.clear()

    def not_answered(self, command: bytes) -> None:
        """Take note that a contact could not be read; the next push about it asks again."""
        self._wanted.discard(command[1:33])

    def learn(self, command: bytes, reply: bytes) -> Commands:
        """Take over what a command and its last response tell.

        Args:
            command: What was sent, by us or for a client.
            reply: What ended it. A contact list goes to `contacts` instead.

        Returns:
            What to read again: the firmware may have changed a value that it took.

        Raises:
            FrameError: The response is too short.
        """
        code = command[0]
        if reply[0] == Resp.ERR:
            return self._learn_refusal(command, reply)
        if code == Cmd.APP_START:
            self._learn_self(reply)
        elif code == Cmd.DEVICE_QUERY:
            self._learn_device(reply)
        elif code == Cmd.GET_CONTACT_BY_KEY:
            self._wanted.discard(command[1:33])
            if len(reply) >= CONTACT_FRAME_SIZE and self._is_listed(reply):
                self.contacts.put(reply)
        elif code == Cmd.GET_CHANNEL:
            self._put_channel(clean_channel_info(reply))
        elif code == Cmd.RUN_CLI_COMMAND:
            # It may have changed anything.
            return (READ_SELF, READ_DEVICE)
        elif code == Cmd.GET_STATS and len(reply) > 1:
            self.stats[reply[1]] = reply
        elif code in _KEPT and reply[0] == _KEPT[Cmd(code)]:
            self.kept[reply[0]] = reply
        elif reply[0] == Resp.OK:
            return self._learn_change(command)
        return ()

    def heard(self, push: bytes) -> Commands:
        """Take over what a push tells, and return what to read because of it."""
        code = push[0]
        if code in (Push.ADVERT, Push.PATH_UPDATED):
            return self._want(contact_key(push))
        if code == Push.NEW_ADVERT and contact_key(push) in self.contacts.frames:
            # It says that the device does not have this contact, which we thought it had.
            return self._want(contact_key(push))
        if code == Push.CONTACT_DELETED:
            self.contacts.remove(contact_key(push))
        elif code == Push.CONTACTS_FULL:
            self.contacts_full = True
        return ()

    def received(self, item: bytes) -> Commands:
        """Return what to read because of an item of the inbox.

        The device has noted at the contact who wrote that it was heard, and says nothing of it.
        """
        try:
            text = ContactMessage.parse(item)
        except FrameError:
            return ()
        known = self.contacts.with_prefix(text.sender)
        if known is None or text.txt_type == TxtType.CLI_DATA:
            return ()
        return self._want(contact_key(known))

    def export(self) -> dict[str, Any]:
        """Return everything that is worth keeping over a restart, ready for JSON."""
        return {
            "version": SNAPSHOT_VERSION,
            "self_info": _hex(self.self_info),
            "device_info": _hex(self.device_info),
            "contacts": [frame.hex() for frame in self.contacts.frames.values()],
            "contacts_complete": self.contacts.is_complete,
            "channels": {str(index): frame.hex() for index, frame in self.channels.items()},
            "kept": [frame.hex() for frame in self.kept.values()],
        }

    @classmethod
    def load(cls, snapshot: Mapping[str, Any]) -> Self:
        """Return a mirror with the content of an exported snapshot.

        Raises:
            ValueError: The snapshot is damaged or of an unknown version.
        """
        mirror = cls()
        try:
            if snapshot["version"] != SNAPSHOT_VERSION:
                raise ValueError(f"snapshot version {snapshot['version']}")
            if snapshot["self_info"] is not None:
                mirror._learn_self(bytes.fromhex(snapshot["self_info"]))
            if snapshot["device_info"] is not None:
                mirror._learn_device(bytes.fromhex(snapshot["device_info"]))
            for text in snapshot["contacts"]:
                frame = bytes.fromhex(text)
                Contact.parse(frame)
                mirror.contacts.put(frame)
            for index, text in snapshot["channels"].items():
                frame = clean_channel_info(bytes.fromhex(text))
                if frame[1] != int(index):
                    raise ValueError("channel in another's slot")
                mirror.channels[frame[1]] = frame
            for text in snapshot["kept"]:
                frame = bytes.fromhex(text)
                if frame[0] not in _KEPT.values():
                    raise ValueError(f"response {frame[0]} is not kept")
                mirror.kept[frame[0]] = frame
            mirror.contacts.is_complete = bool(snapshot["contacts_complete"])
        except (KeyError, TypeError, AttributeError, IndexError) as err:
            raise ValueError(f"damaged snapshot: {type(err).__name__}") from err
        return mirror

    def _want(self, key: bytes) -> Commands:
        if key in self._wanted or len(self._wanted) >= MAX_CONTACTS:
            return ()
        self._wanted.add(key)
        return (bytes([Cmd.GET_CONTACT_BY_KEY]) + key,)

    def _learn_self(self, reply: bytes) -> None:
        info = SelfInfo.parse(reply)
        self.self_info, self.info = reply, info

    def _learn_device(self, reply: bytes) -> None:
        device = DeviceInfo.parse(reply)
        version = min(device.protocol_version, PROTOCOL_VERSION)
        clean = reply[:1] + bytes([version]) + reply[2:4] + bytes(4) + reply[8:DEVICE_INFO_SIZE]
        self.device_info, self.device = clean, device

    def _learn_refusal(self, command: bytes, reply: bytes) -> Commands:
        key, is_unknown = command[1:33], error_of(reply) is Err.NOT_FOUND
        if command[0] == Cmd.GET_CONTACT_BY_KEY:
            self._wanted.discard(key)
            if is_unknown:
                self.contacts.remove(key)
        elif (
            command[0] in (Cmd.REMOVE_CONTACT, Cmd.RESET_PATH)
            and is_unknown
            and key in self.contacts.frames
        ):
            # It went without our knowledge: what the device says of that may get lost.
            return self._want(key)
        return ()

    def _is_listed(self, contact: bytes) -> bool:
        """Return whether a contact is one of the device's list.

        Beside its list the device has places for nodes that were sent an anonymous request.
        """
        return contact[33] != AdvType.NONE or contact_key(contact) in self.contacts.frames

    def _put_channel(self, frame: bytes) -> None:
        if self.channels.get(frame[1]) != frame:
            self.channels[frame[1]] = frame
            self.channels_changed = True

    def _learn_change(self, command: bytes) -> Commands:
        """Follow a change that the device took, and return what to read to be sure of it."""
        code = command[0]
        if code in _SELF_CHANGES:
            if self.info is not None:
                self.info = _changed_self(self.info, command)
                self.self_info = self.info.build()
            if code == Cmd.SET_RADIO_PARAMS:
                self._patch_device(80, int(len(command) > 11 and command[11] != 0))
                return (READ_SELF, READ_DEVICE)
            return (READ_SELF,)
        if code == Cmd.SET_PATH_HASH_MODE:
            self._patch_device(81, command[2])
            return (READ_DEVICE,)
        if code == Cmd.SET_CHANNEL:
            channel = bytes([Resp.CHANNEL_INFO]) + command[1:50]
            self._put_channel(clean_channel_info(channel))
            return (bytes([Cmd.GET_CHANNEL, command[1]]),)
        if code == Cmd.REMOVE_CONTACT:
            self.contacts.remove(command[1:33])
            self.contacts_full = False
            return ()
        if code in (Cmd.ADD_UPDATE_CONTACT, Cmd.RESET_PATH):
            self._change_contact(command)
            self._wanted.discard(command[1:33])
            return self._want(command[1:33])
        return self._learn_setting(command)

    def _learn_setting(self, command: bytes) -> Commands:
        """Follow a change of one of the responses that are kept as they are."""
        code = command[0]
        if code == Cmd.SET_TUNING_PARAMS:
            self.kept[Resp.TUNING_PARAMS] = bytes([Resp.TUNING_PARAMS]) + command[1:9]
            return (bytes([Cmd.GET_TUNING_PARAMS]),)
        if code == Cmd.SET_AUTOADD_CONFIG:
            before = self.kept.get(Resp.AUTOADD_CONFIG, b"")
            hops = bytes([min(command[2], 64)]) if len(command) > 2 else before[2:3]
            self.kept[Resp.AUTOADD_CONFIG] = bytes([Resp.AUTOADD_CONFIG, command[1]]) + hops
            return (bytes([Cmd.GET_AUTOADD_CONFIG]),)
        if code == Cmd.SET_DEFAULT_FLOOD_SCOPE:
            self.kept[Resp.DEFAULT_FLOOD_SCOPE] = bytes([Resp.DEFAULT_FLOOD_SCOPE]) + command[1:48]
            return (bytes([Cmd.GET_DEFAULT_FLOOD_SCOPE]),)
        if code == Cmd.SET_CUSTOM_VAR:
            return (bytes([Cmd.GET_CUSTOM_VARS]),)
        return (READ_SELF,) if code == Cmd.IMPORT_PRIVATE_KEY else ()

    def _patch_device(self, offset: int, value: int) -> None:
        if self.device_info is not None and len(self.device_info) > offset:
            patched = bytearray(self.device_info)
            patched[offset] = value
            self.device_info = bytes(patched)
            self.device = DeviceInfo.parse(self.device_info)

    def _change_contact(self, command: bytes) -> None:
        """Follow ``ADD_UPDATE_CONTACT`` and ``RESET_PATH``, as the firmware does."""
        known = self.contacts.frames.get(command[1:33])
        if command[0] == Cmd.RESET_PATH:
            if known is not None:
                self.contacts.put(known[:35] + b"\xff" + known[36:])
        elif self._is_listed(command) and (known or len(command) >= CONTACT_FRAME_SIZE):
            end = contact_fields_end(len(command))
            self.contacts.put(command[:end] + (known or b"")[end:])


def _changed_self(info: SelfInfo, command: bytes) -> SelfInfo:
    """Return the settings as they are after the device took a change."""
    code = command[0]
    if code == Cmd.SET_ADVERT_NAME:
        return replace(info, name=command[1:32].partition(b"\0")[0].decode(errors="replace"))
    if code == Cmd.SET_RADIO_TX_POWER:
        return replace(info, tx_power=int.from_bytes(command[1:2], signed=True))
    if code == Cmd.SET_RADIO_PARAMS:
        return replace(
            info,
            frequency=number_at(command, 1),
            bandwidth=number_at(command, 5),
            spreading_factor=command[9],
            coding_rate=command[10],
        )
    if code == Cmd.SET_ADVERT_LATLON:
        return replace(
            info,
            latitude=int.from_bytes(command[1:5], "little", signed=True),
            longitude=int.from_bytes(command[5:9], "little", signed=True),
        )
    return replace(
        info,
        manual_add=command[1],
        telemetry_modes=command[2] & 0x3F if len(command) > 2 else info.telemetry_modes,
        advert_location=command[3] if len(command) > 3 else info.advert_location,
        multi_acks=command[4] if len(command) > 4 else info.multi_acks,
    )


def _hex(frame: bytes | None) -> str | None:
    return None if frame is None else frame.hex()
