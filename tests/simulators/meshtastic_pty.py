"""A simulated Meshtastic node's serial port: a pseudo-terminal behind a name that stays.

Source: `src/SerialConsole.cpp` of the firmware. The same frames as over TCP; boot messages before
them, coloured log lines between them.
"""

import asyncio
from contextlib import suppress
import os
from pathlib import Path
import tty
from typing import Final, override

from meshtastic.protobuf import mesh_pb2

from .meshtastic_frames import frame
from .meshtastic_link import Host, Link

BOOT_TEXT: Final = (
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"\x1b[32mINFO \x1b[0m| ??:??:?? 1 \r\n\r\n//\\ E S H T /\\ S T / C\r\n\r\n"
)
"""What the chip's ROM says, and the firmware behind it."""
LOG_LINE: Final = (
    b"\x1b[34mDEBUG\x1b[0m| 12:34:56 42 [Router] Rx someone, \x94 and \xc3 mean nothing\r\n"
)
READ_SIZE: Final = 4096


class PtyLink(Link):
    """One plugged-in serial port. A pulled plug ends it; the next one is a new object."""

    def __init__(self, host: Host, path: Path, *, boot_text: bytes, log_lines: bool) -> None:
        """Open a pseudo-terminal and put `path` on it; must be called in a running loop."""
        super().__init__(host)
        self.path = path
        self._log_lines = log_lines
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._unsent = bytearray()
        path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        if boot_text:
            self._write(boot_text)

    def say_rebooted(self, boot_text: bytes, *, announces: bool) -> None:
        """Show a restart as the console does.

        Args:
            boot_text: What it says; the last line but one is the firmware's own.
            announces: Whether a `rebooted` frame for a client stands before that line. Firmware 2.8
                may write no frame there (`canWrite` in `SerialConsole::SerialConsole`).
        """
        self.api.reset()
        rom, end, firmware = boot_text.partition(b"BOOT)\r\n")
        self._write(rom + end)
        if announces:
            self._write(frame(mesh_pb2.FromRadio(rebooted=True).SerializeToString()))
        self._write(firmware)

    @override
    def end(self, *, reset: bool = False) -> None:
        if self._ended:
            return
        self._stop_waiting()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)

    @override
    def _write(self, data: bytes) -> None:
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: os.write(self._master, self._unsent)]
        if self._unsent:
            self._paused = True
            loop.add_writer(self._master, self._flush)
        elif self._paused:
            loop.remove_writer(self._master)
            self._paused = False
            self.pump()

    def _readable(self) -> None:
        self._arrived(os.read(self._master, READ_SIZE))

    @override
    def _dress(self, data: bytes) -> bytes:
        return LOG_LINE + data if self._log_lines else data

    @override
    def _close_after_write(self, *, reset: bool) -> None:
        self.end()

    @override
    def _disconnected_by_client(self) -> None:
        # A cable stays plugged in; only the conversation is over.
        self.api.reset()
