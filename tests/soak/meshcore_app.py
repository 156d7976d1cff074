"""A MeshCore app among many."""

from collections import deque
from typing import Final, override

from .app import App

DEVICE_QUERY, APP_START, CONTACTS, TIME, FETCH, SEND, POST, PATHS, UNKNOWN = (
    22, 1, 4, 5, 10, 2, 3, 60, 99,
)  # fmt: skip
_ERROR, _NONE_LEFT, _WAITING = 1, 10, 0x83
_ITEMS: Final = {7: 13, 16: 16, 8: 8, 17: 11}
"""Where the text begins in the kinds of message."""
_ANSWERS: Final[dict[int, set[int]]] = {
    DEVICE_QUERY: {13},
    APP_START: {5},
    CONTACTS: {4},
    TIME: {9},
    FETCH: {*_ITEMS, _NONE_LEFT},
    SEND: {6, _ERROR},
    POST: {0, _ERROR},
    PATHS: {26, _ERROR},
    UNKNOWN: {_ERROR},
}


class MeshCoreApp(App):
    """An app that fetches every text, and knows which answer has to come next."""

    def __init__(self, address: str, port: int) -> None:
        """Make an app that is not connected."""
        super().__init__(address, port)
        self.contacts = 0
        """How many contacts the last whole list had."""
        self.version = 3
        self._buffer = b""
        self._asked: deque[int] = deque()
        self._announced = self._listed = 0

    @property
    @override
    def is_asking(self) -> bool:
        return bool(self._asked)

    @override
    def begin(self) -> None:
        self._buffer = b""
        self._asked.clear()

    @override
    def greet(self) -> None:
        self.ask(bytes((DEVICE_QUERY, self.version)))
        self.ask(bytes((APP_START, 3)) + b"      " + self.address.encode())
        self.ask(bytes((CONTACTS,)))

    def ask(self, command: bytes) -> None:
        """Send a command, whatever was not answered yet."""
        if self.write(b"<" + len(command).to_bytes(2, "little") + command):
            self._asked.append(command[0])

    @override
    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 3:
            end = 3 + int.from_bytes(self._buffer[1:3], "little")
            if self._buffer[:1] != b">":
                self.failure = "bytes outside of frames"
            if len(self._buffer) < end:
                return
            frame, self._buffer = self._buffer[3:end], self._buffer[end:]
            if frame[0] < 0x80:
                self._answered(frame)
            elif frame[0] == _WAITING and FETCH not in self._asked:
                self.ask(bytes((FETCH,)))

    def _answered(self, frame: bytes) -> None:
        command = self._asked[0] if self._asked else None
        if command == CONTACTS and frame[0] in (2, 3):
            self._list(frame)
            return
        if command is None or frame[0] not in _ANSWERS[command]:
            self.failure = f"{frame[0]} answers {command}"
            return
        self._asked.popleft()
        if command == CONTACTS:
            self.is_ready = True
            self.contacts = self._listed
            if self._listed != self._announced:
                self.failure = "a part of the contacts"
        elif frame[0] in _ITEMS and command == FETCH:
            text = frame[_ITEMS[frame[0]] :].decode()
            self.texts.append(text.rpartition(": ")[2])
            self.ask(bytes((FETCH,)))

    def _list(self, frame: bytes) -> None:
        if frame[0] == 2:
            self._announced, self._listed = int.from_bytes(frame[1:5], "little"), 0
        else:
            self._listed += 1
