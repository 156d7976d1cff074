"""Texts on their way out: the same road for those of phones and of Home Assistant."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
import time
from typing import Final

from ..mesh.model import Delivery, DeliveryState, Message, MessageKind, Origin
from ..mesh.source import DeliveryChanged, MeshEvent, MessageReceived
from . import decode
from .codes import AdvType, Cmd, Resp, TxtType
from .deliveries import Deliveries
from .frames import FrameError, Sent, error_of, number_at, text_of
from .inbox import Inbox, channel_text, echo_of
from .jobs import Job, Outcome
from .mirror import Mirror

MAX_TEXT: Final = 160
"""Bytes of a direct text; one on a channel shares them with the sender's name."""
MAX_POST: Final = 150
"""Bytes of a room's post: its server cuts what is longer, and acknowledges it all the same
(``MAX_POST_TEXT_LEN`` of examples/simple_room_server/MyMesh.h, one less for the end)."""
HOME_ASSISTANT: Final = "home_assistant"
ATTEMPTS: Final = 3
"""How often a direct text of Home Assistant's is sent until it is acknowledged, as apps do."""
_REMEMBERED: Final = 64


def is_text(frame: bytes) -> bool:
    """Return whether a command sends a text for people."""
    if frame[0] == Cmd.SEND_CHANNEL_TXT_MSG:
        return len(frame) >= 7
    return frame[0] == Cmd.SEND_TXT_MSG and len(frame) >= 14 and frame[1] == TxtType.PLAIN


def direct_command(key: bytes, text: bytes, stamp: int, attempt: int = 0) -> bytes:
    """Return the command that sends a text to a contact."""
    head = bytes((Cmd.SEND_TXT_MSG, TxtType.PLAIN, attempt))
    return head + stamp.to_bytes(4, "little") + key[:6] + text


def channel_command(channel: int, text: bytes, stamp: int) -> bytes:
    """Return the command that sends a text on a channel."""
    head = bytes((Cmd.SEND_CHANNEL_TXT_MSG, TxtType.PLAIN, channel))
    return head + stamp.to_bytes(4, "little") + text


class Texts:
    """Follows every text from its command to its acknowledgement."""

    def __init__(
        self,
        mirror: Mirror,
        inbox: Inbox,
        emit: Callable[[MeshEvent], None],
        on_echo: Callable[[], None],
        send_again: Callable[[bytes], None],
    ) -> None:
        """Start with none.

        Args:
            mirror: For names.
            inbox: Where texts on channels are shown to the other clients.
            emit: Takes events for Home Assistant.
            on_echo: Is told that something was put into the inbox.
            send_again: Sends a direct text of Home Assistant's once more.
        """
        self.deliveries = Deliveries()
        self._mirror = mirror
        self._inbox = inbox
        self._emit = emit
        self._on_echo = on_echo
        self._send_again = send_again
        self._messages: dict[Job, tuple[Message, Hashable]] = {}
        self._shown: OrderedDict[str, bytes] = OrderedDict()

    def began(self, job: Job, origin: Origin, client: str | None, reader: Hashable) -> Message:
        """A text was handed over for sending.

        Args:
            job: Its command.
            origin: Who wrote it.
            client: The virtual node's client, for a phone.
            reader: As whom its sender reads the inbox.
        """
        message = self._message(job.frame, origin, client)
        self._messages[job] = (message, reader)
        self._emit(DeliveryChanged(self.deliveries.began(message), message))
        return message

    def done(self, job: Job, reader: Hashable | None) -> None:
        """The command of a text has ended.

        Args:
            job: The command.
            reader: As whom its sender reads the inbox now; None if it is gone.
        """
        if job not in self._messages:
            return
        message, first_reader = self._messages.pop(job)
        reply = job.replies[-1] if job.outcome is Outcome.ANSWERED and job.replies else b""
        if reply[:1] in (bytes([Resp.SENT]), bytes([Resp.OK])):
            self._sent(job.frame, reply, message, reader or first_reader)
            return
        error = error_of(reply)
        outcome = job.outcome or Outcome.LOST
        reason = outcome.value if error is None else error.name.lower()
        self._tell(self.deliveries.moved(message.message_id, DeliveryState.FAILED, reason))

    def acknowledged(self, ack: bytes) -> None:
        """The recipient of a text acknowledged it."""
        for delivery in self.deliveries.acknowledged(ack):
            self._tell(delivery)

    def tick(self, now: float) -> None:
        """Give up on acknowledgements that do not come, or try once more."""
        failed, again = self.deliveries.tick(now)
        for delivery in failed:
            self._tell(delivery)
        for message_id in again:
            frame = self._shown.get(message_id)
            if frame is not None:
                self._send_again(frame[:2] + bytes([frame[2] + 1]) + frame[3:])
            else:
                # So many were sent since that it is forgotten.
                self._tell(self.deliveries.unacknowledged(message_id))

    def _sent(self, frame: bytes, reply: bytes, message: Message, reader: Hashable) -> None:
        is_new = message.message_id not in self._shown
        self._shown[message.message_id] = frame
        self._shown.move_to_end(message.message_id)
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        self._tell(self.deliveries.moved(message.message_id, DeliveryState.SENT))
        if frame[0] == Cmd.SEND_TXT_MSG:
            self._await(frame, reply, message)
        elif is_new:
            name = "" if self._mirror.info is None else self._mirror.info.name
            echo = echo_of(frame[2], number_at(frame, 3), name, frame[7:])
            self._inbox.sent(echo, reader, time.time())
            self._on_echo()
        if is_new:
            self._emit(MessageReceived(message))

    def _await(self, frame: bytes, reply: bytes, message: Message) -> None:
        try:
            sent = Sent.parse(reply)
        except FrameError:
            return
        is_last = message.origin is not Origin.HOME_ASSISTANT or frame[2] + 1 >= ATTEMPTS
        self.deliveries.expect(
            sent.tag, message.message_id, sent.timeout, time.monotonic(), is_last=is_last
        )

    def _tell(self, delivery: Delivery | None) -> None:
        if delivery is not None:
            self._emit(DeliveryChanged(delivery))

    def _message(self, frame: bytes, origin: Origin, client: str | None) -> Message:
        """Return what a command sends, as a message of our own node's."""
        mirror, info = self._mirror, self._mirror.info
        own = None if info is None else info.public_key.hex()
        name = "" if info is None else info.name
        stamp = number_at(frame, 3)
        if frame[0] == Cmd.SEND_CHANNEL_TXT_MSG:
            slot = mirror.channel(frame[2])
            return Message(
                message_id=decode.content_id(frame[2], stamp, channel_text(name, frame[7:])),
                kind=MessageKind.CHANNEL,
                origin=origin,
                text=text_of(frame[7:]),
                sender_id=own,
                sender_name=name,
                channel=frame[2],
                channel_name=None if slot is None else decode.channel(slot).name,
                time=time.time(),
                client=client,
            )
        known = mirror.contacts.with_prefix(frame[7:13])
        recipient = frame[7:13] if known is None else known[1:33]
        is_room = known is not None and known[33] == AdvType.ROOM
        return Message(
            # Without the attempt: a text that is sent again is the same text.
            message_id=decode.content_id(b"to" + frame[7:13], stamp, frame[13:]),
            kind=MessageKind.ROOM if is_room else MessageKind.DIRECT,
            origin=origin,
            text=text_of(frame[13:]),
            sender_id=own,
            sender_name=name,
            recipient_id=recipient.hex(),
            time=time.time(),
            client=client,
        )
