"""The commands of a simulated companion that transmit, and what it makes of the answers.

The rules that matter to who shares the device: one place for a pending request, a ring of eight
expected acknowledgements, one flood scope for all.
"""

import hashlib
import struct

from .meshcore_device import ACK_RING, ILLEGAL, NOT_FOUND, OK, TABLE_FULL
from .meshcore_settings import SettableDevice
from .meshcore_state import NO_PATH, StoredContact

MAX_TEXT: int = 160


def ack_of(stamp: int, attempt: int, text: bytes, key: bytes) -> bytes:
    """Return the acknowledgement that the recipient of a text sends (``composeMsgPacket``)."""
    content = stamp.to_bytes(4, "little") + bytes([attempt & 3]) + text
    return hashlib.sha256(content + key).digest()[:4]


class TransmittingDevice(SettableDevice):
    """A device that can be told to send."""

    def _sent(self, contact: StoredContact | None, tag: bytes, timeout: int) -> None:
        flood = contact is not None and contact.path_len == NO_PATH
        self.reply(bytes((6, flood)) + tag + timeout.to_bytes(4, "little"))

    def _on_2(self, frame: bytes) -> bool:
        if len(frame) < 14:
            return False
        kind, attempt = frame[1], frame[2]
        contact = self.find(frame[7:13])
        if contact is None:
            self.error(NOT_FOUND)
            return True
        if kind not in ((0, 1) if self.version < 14 else (0, 1, 3)):
            return False
        text = frame[13:].partition(b"\0")[0]
        if len(text) > MAX_TEXT:
            self.error(TABLE_FULL)
            return True
        stamp = int.from_bytes(frame[3:7], "little")
        ack = bytes(4)
        if kind == 0:
            ack = ack_of(stamp, attempt, text, self.settings.public_key)
            self.acks = [*self.acks, ack][-ACK_RING:]
        assert self.air is not None
        timeout = self.air.send_text(contact, kind, stamp, attempt, text, ack)
        self._sent(contact, ack, timeout)
        return True

    def _on_3(self, frame: bytes) -> bool:
        if frame[1] != 0:
            return False
        if frame[2] >= len(self.channels):
            self.error(NOT_FOUND)
            return True
        name = self.settings.name.encode() + b": "
        text = (name + frame[7:])[:MAX_TEXT]
        assert self.air is not None
        self.air.send_post(frame[2], int.from_bytes(frame[3:7], "little"), text)
        self.emit(OK)
        return True

    def _transmit(self, kind: str, data: bytes) -> None:
        assert self.air is not None
        self.air.send_other(kind, data)
        self.emit(OK)

    def _on_7(self, frame: bytes) -> None:
        self._transmit("advert", frame[1:2])

    def _on_16(self, frame: bytes) -> None:
        contact = self.find(frame[1:33])
        if contact is None:
            self.error(NOT_FOUND)
        elif contact.key not in self.adverts:
            self.error(TABLE_FULL)
        else:
            self._transmit("share", contact.key)

    def _on_17(self, frame: bytes) -> None:
        if len(frame) < 33:
            own = self.settings
            self.reply(b"\x0b\x11\x00" + own.public_key + bytes(68) + b"\x81" + own.name.encode())
            return
        packet = self.adverts.get(frame[1:33])
        if packet is None:
            self.error(NOT_FOUND)
        else:
            self.reply(b"\x0b" + packet)

    def _on_25(self, frame: bytes) -> bool:
        if len(frame) < 6 or frame[1] >= 0x80 or len(frame) < 6 + frame[1]:
            return False
        self._transmit("raw_data", frame[1:])
        return True

    def _request(self, kind: str, key: bytes, data: bytes) -> None:
        contact = self.find(key)
        if contact is None and kind == "anon":
            contact = StoredContact(key=key, kind=0, path_len=0)
        if contact is None:
            self.error(NOT_FOUND)
            return
        tag = contact.key[:4] if kind == "login" else self.unique_tag()
        self.pending = (kind, contact.key[:4] if kind in ("login", "status") else tag)
        assert self.air is not None
        timeout = self.air.send_request(contact, kind, data, tag)
        self._sent(contact, tag, timeout)

    def _on_26(self, frame: bytes) -> bool:
        if len(frame) < 33:
            return False
        self._request("login", frame[1:33], frame[33:].partition(b"\0")[0][:15])
        return True

    def _on_27(self, frame: bytes) -> bool:
        if len(frame) < 33:
            return False
        self._request("status", frame[1:33], b"")
        return True

    def _on_36(self, frame: bytes) -> bool:
        hashes = len(frame) - 10
        if hashes < 1:
            return False
        if hashes % (1 << (frame[9] & 3)):
            self.error(ILLEGAL)
            return True
        assert self.air is not None
        timeout = self.air.send_trace(frame[1:5], frame[5:9], frame[9], frame[10:])
        self._sent(None, frame[1:5], timeout)
        return True

    def _on_39(self, frame: bytes) -> bool:
        if len(frame) == 4:
            lpp = struct.pack(">BBHBBh", 1, 116, self.battery_mv // 10, 1, 103, 215)
            self.reply(b"\x8b\x00" + self.settings.public_key[:6] + lpp)
            return True
        if len(frame) < 36:
            return False
        self._request("telemetry", frame[4:36], b"")
        return True

    def _on_50(self, frame: bytes) -> bool:
        if len(frame) < 34:
            return False
        self._request("binary", frame[1:33], frame[33:])
        return True

    def _on_52(self, frame: bytes) -> bool:
        if len(frame) < 34 or frame[1] != 0:
            return False
        self._request("discovery", frame[2:34], b"")
        return True

    def _on_55(self, frame: bytes) -> bool:
        if len(frame) < 2 or not frame[1] & 0x80:
            return False
        self._transmit("control", frame[1:])
        return True

    def _on_57(self, frame: bytes) -> bool:
        if len(frame) < 34:
            return False
        self._request("anon", frame[1:33], frame[33:])
        return True

    def _on_62(self, frame: bytes) -> bool:
        if len(frame) < 4:
            self.error(ILLEGAL)
            return True
        path = 0 if frame[2] == NO_PATH else (frame[2] & 63) * ((frame[2] >> 6) + 1)
        kind = frame[3 + path : 5 + path]
        if frame[1] >= len(self.channels):
            self.error(NOT_FOUND)
        elif not any(kind):
            self.error(ILLEGAL)
        else:
            self._transmit("channel_data", frame[1:])
        return True

    def _on_65(self, frame: bytes) -> bool:
        if len(frame) < 4:
            return False
        self._transmit("raw_packet", frame[1:])
        return True

    def answered(self, kind: str, contact: StoredContact, tag: bytes, data: bytes) -> bool:
        """Another node answered; told to the app only if that is what is pending now."""
        expected = contact.key[:4] if kind in ("login", "status") else tag
        if self.pending != (kind, expected):
            return False
        self.pending = None
        prefix = contact.key[:6]
        if kind == "login":
            if data:
                self.connections.add(contact.key)
                stamp = self.now.to_bytes(4, "little")
                self.push(b"\x85" + data[:1] + prefix + stamp + data[1:3])
            else:
                self.push(b"\x86\x00" + prefix)
        elif kind == "status":
            self.push(b"\x87\x00" + prefix + data)
        elif kind == "telemetry":
            self.push(b"\x8b\x00" + prefix + data)
        elif kind == "discovery":
            self.push(b"\x8d\x00" + prefix + data)
        else:
            self.push(b"\x8c\x00" + tag + data)
        return True

    def heard_text(self, key: bytes, stamp: int, text: bytes, *, path_len: int = 1,
                   kind: int = 0, author: bytes = b"", snr: int = 32) -> None:  # fmt: skip
        """Put a text from a contact into the queue (``queueMessage``)."""
        contact = self.contacts.get(key)
        if contact is not None and kind != 1:
            contact.lastmod = self.now
        head = struct.pack("<Bbxx", 16, snr) if self.app_version >= 3 else b"\x07"
        body = key[:6] + bytes((path_len, kind)) + stamp.to_bytes(4, "little") + author + text
        self.queue((head + body)[:176])

    def heard_post(self, channel: int, stamp: int, text: bytes, *, path_len: int = 1,
                   snr: int = 32) -> None:  # fmt: skip
        """Put a text on a channel into the queue (``onChannelMessageRecv``)."""
        head = struct.pack("<Bbxx", 17, snr) if self.app_version >= 3 else b"\x08"
        body = bytes((channel, path_len, 0)) + stamp.to_bytes(4, "little") + text
        self.queue((head + body)[:176])

    def heard_advert(self, advert: StoredContact, packet: bytes, path: bytes = b"\0") -> None:
        """Take an advert as the firmware does: 0x80 for known and added ones, else 0x8A."""
        self.push(b"\x88" + struct.pack("bb", 32, -70) + packet)
        self.advert_paths[advert.key] = (self.now, path)
        advert.lastmod = self.now
        known = self.contacts.get(advert.key)
        if known is None:
            wanted = not self.settings.manual_add & 1 or self.settings.autoadd & 1 << advert.kind
            if not wanted:
                self.push(advert.frame(0x8A))
                return
            if not self.add_heard(advert):
                return
        else:
            known.name, known.kind = advert.name, advert.kind
            known.latitude, known.longitude = advert.latitude, advert.longitude
            known.last_advert, known.lastmod = advert.last_advert, advert.lastmod
        self.adverts[advert.key] = packet
        self.push(b"\x80" + advert.key)
