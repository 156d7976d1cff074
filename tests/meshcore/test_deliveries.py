"""How far a text has come, over all attempts at it."""

from custom_components.meshmonitor.mesh.model import DeliveryState, Message, MessageKind, Origin
from custom_components.meshmonitor.meshcore.deliveries import Deliveries

TEXT = Message(
    message_id="id",
    kind=MessageKind.DIRECT,
    origin=Origin.PHONE,
    text="hi",
    sender_id=None,
    sender_name=None,
    time=0.0,
)


def sent_again() -> Deliveries:
    """Return what is known of a text that an app has sent twice, at 0 and at 4.8 seconds."""
    deliveries = Deliveries()
    for ack, now in ((b"1", 0.0), (b"2", 4.8)):
        deliveries.began(TEXT)
        deliveries.moved("id", DeliveryState.SENT)
        deliveries.expect(ack, "id", 4.0, now, is_last=True)
    return deliveries


def test_a_text_that_is_sent_again_has_not_failed_yet() -> None:
    """What counts is the last attempt: apps try again a moment before we would give up."""
    deliveries = sent_again()
    assert deliveries.tick(6.1) == ([], [])
    (failed,), again = deliveries.tick(10.9)
    assert (failed.state, failed.reason, again) == (
        DeliveryState.FAILED,
        "no_acknowledgement",
        [],
    )
    assert deliveries.tick(100.0) == ([], [])


def test_a_late_acknowledgement_of_an_earlier_attempt_counts() -> None:
    """The recipient has the text, by whichever attempt."""
    deliveries = sent_again()
    assert [delivery.state for delivery in deliveries.acknowledged(b"1")] == [
        DeliveryState.DELIVERED
    ]
    assert deliveries.tick(100.0) == ([], [])
