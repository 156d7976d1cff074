"""The commands of a simulated companion that change its settings, contacts and channels."""

import struct
from typing import Final

from .meshcore_device import ILLEGAL, NOT_FOUND, OK, TABLE_FULL, Device
from .meshcore_state import NO_PATH, StoredContact

_REPEAT_FREQUENCIES: Final = (433000, 869495, 918000)


class SettableDevice(Device):
    """A device whose settings can be changed by its app."""

    def _on_8(self, frame: bytes) -> bool:
        if len(frame) < 2:
            return False
        self.settings.name = frame[1:32].partition(b"\0")[0].decode(errors="replace")
        self.emit(OK)
        return True

    def _on_9(self, frame: bytes) -> bool:
        if len(frame) < 36:
            return False
        known = self.contacts.get(frame[1:33])
        if known is None:
            if len(self.contacts) >= self.max_contacts and not self._make_room():
                self.error(TABLE_FULL)
                return True
            known = self.contacts[frame[1:33]] = StoredContact(key=frame[1:33])
        known.update(frame.ljust(136, b"\0"), self.now)
        self.emit(OK)
        return True

    def _make_room(self) -> bool:
        """Overwrite the oldest contact that is no favourite, where that is allowed."""
        if not self.settings.autoadd & 1:
            return False
        others = [c for c in self.contacts.values() if not c.flags & 1]
        if not others:
            return False
        oldest = min(others, key=lambda contact: contact.lastmod)
        del self.contacts[oldest.key]
        self.push(b"\x8f" + oldest.key)
        return True

    def add_heard(self, contact: StoredContact) -> bool:
        """Add a contact that was heard, if there is room; else say that there is none."""
        if len(self.contacts) >= self.max_contacts and not self._make_room():
            self.push(contact.frame(0x8A))
            self.push(b"\x90")
            return False
        self.contacts[contact.key] = contact
        return True

    def _on_11(self, frame: bytes) -> None:
        frequency, bandwidth, factor, rate = struct.unpack_from("<IIBB", frame.ljust(11, b"\0"), 1)
        repeat = frame[11] if len(frame) > 11 else 0
        good = 150000 <= frequency <= 2500000 and 7000 <= bandwidth <= 500000
        good = good and 5 <= factor <= 12 and 5 <= rate <= 8
        if not good or (repeat and frequency not in _REPEAT_FREQUENCIES):
            self.error(ILLEGAL)
            return
        settings = self.settings
        settings.frequency, settings.bandwidth = frequency, bandwidth
        settings.spreading_factor, settings.coding_rate = factor, rate
        settings.repeat = int(repeat != 0)
        self.emit(OK)

    def _on_12(self, frame: bytes) -> None:
        power = int.from_bytes(frame[1:2], signed=True)
        if -9 <= power <= self.settings.max_tx_power:
            self.settings.tx_power = power
            self.emit(OK)
        else:
            self.error(ILLEGAL)

    def _on_13(self, frame: bytes) -> bool:
        if len(frame) < 33:
            return False
        contact = self.contacts.get(frame[1:33])
        if contact is None:
            self.error(NOT_FOUND)
        else:
            contact.path_len = NO_PATH
            self.emit(OK)
        return True

    def _on_14(self, frame: bytes) -> bool:
        if len(frame) < 9:
            return False
        latitude, longitude = struct.unpack_from("<ii", frame, 1)
        if abs(latitude) > 90_000_000 or abs(longitude) > 180_000_000:
            self.error(ILLEGAL)
        else:
            self.settings.latitude, self.settings.longitude = latitude, longitude
            self.emit(OK)
        return True

    def _on_15(self, frame: bytes) -> None:
        contact = self.find(frame[1:33])
        if contact is None:
            self.error(NOT_FOUND)
        else:
            del self.contacts[contact.key]
            self.emit(OK)

    def _on_18(self, frame: bytes) -> bool:
        if len(frame) <= 98:
            return False
        self.emit(OK)
        return True

    def _on_19(self, frame: bytes) -> bool:
        if frame[1:7] != b"reboot":
            return False
        self.rebooted = True
        return True

    def _on_21(self, frame: bytes) -> None:
        self.settings.rx_delay, self.settings.airtime = struct.unpack_from("<II", frame, 1)
        self.emit(OK)

    def _on_24(self, frame: bytes) -> bool:
        if len(frame) < 65:
            return False
        self.settings.private_key = frame[1:65]
        self.emit(OK)
        return True

    def _on_32(self, frame: bytes) -> bool:
        if not 50 <= len(frame) < 66:
            return False
        if frame[1] >= len(self.channels):
            self.error(NOT_FOUND)
            return True
        self.channels[frame[1]] = (frame[2:33].partition(b"\0")[0], frame[34:50])
        self.emit(OK)
        return True

    def _on_37(self, frame: bytes) -> bool:
        if len(frame) < 5:
            return False
        pin = int.from_bytes(frame[1:5], "little")
        if pin == 0 or 100000 <= pin <= 999999:
            self.settings.pin = pin
            self.emit(OK)
        else:
            self.error(ILLEGAL)
        return True

    def _on_38(self, frame: bytes) -> None:
        settings = self.settings
        settings.manual_add = frame[1]
        if len(frame) >= 3:
            settings.telemetry_modes = frame[2] & 0x3F
        if len(frame) >= 4:
            settings.location_policy = frame[3]
        if len(frame) >= 5:
            settings.multi_acks = frame[4]
        self.emit(OK)

    def _on_41(self, frame: bytes) -> bool:
        if len(frame) < 4:
            return False
        name, colon, value = frame[1:].partition(b"\0")[0].decode().partition(":")
        if not colon or name not in self.settings.custom:
            self.error(ILLEGAL)
        else:
            self.settings.custom[name] = value
            self.emit(OK)
        return True

    def _on_51(self, frame: bytes) -> bool:
        if frame[1:6] != b"reset":
            return False
        self.contacts.clear()
        self.emit(OK)
        self.rebooted = True
        return True

    def _on_54(self, frame: bytes) -> bool:
        if len(frame) < 2 or frame[1] > 1 or (frame[1] == 1 and self.version < 12):
            return False
        if frame[1] == 1:
            self.scope = None
        else:
            self.scope = frame[2:18] if len(frame) >= 18 else bytes(16)
        self.emit(OK)
        return True

    def _on_58(self, frame: bytes) -> None:
        self.settings.autoadd = frame[1]
        if len(frame) >= 3:
            self.settings.autoadd_hops = min(frame[2], 64)
        self.emit(OK)

    def _on_61(self, frame: bytes) -> bool:
        if len(frame) < 3 or frame[1] != 0:
            return False
        if frame[2] >= 3:
            self.error(ILLEGAL)
        else:
            self.settings.path_hash_mode = frame[2]
            self.emit(OK)
        return True

    def _on_63(self, frame: bytes) -> None:
        name = frame[1:32].partition(b"\0")[0]
        if len(frame) < 48:
            self.settings.scope_name, self.settings.scope_key = b"", bytes(16)
        elif not name or len(name) > 30:
            self.error(ILLEGAL)
            return
        else:
            self.settings.scope_name, self.settings.scope_key = name, frame[32:48]
        self.emit(OK)

    def _on_66(self, frame: bytes) -> bool:
        if self.version < 14:
            return False
        self.reply(b"\x1d> " + frame[1:40])
        return True
