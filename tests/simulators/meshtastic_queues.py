"""The bounded queues between a Meshtastic node and its client.

Source: `src/mesh/MeshService.cpp` of the firmware. The queues belong to the node and not to a
connection: they fill while nobody is connected, and two clients on two carriers steal from each
other.
"""

from collections import Counter, deque

from meshtastic.protobuf import mesh_pb2

from .meshtastic_config import NodeConfig


class PhoneQueues:
    """What waits to be sent to the client, as ready `FromRadio` payloads."""

    def __init__(self, config: NodeConfig, tally: Counter[str]) -> None:
        """Make empty queues; what does not fit is counted in `tally`."""
        self._tally = tally
        self._limits = config
        self._statuses: deque[bytes] = deque()
        self._mqtt: deque[bytes] = deque()
        self._notifications: deque[bytes] = deque()
        self._packets: deque[bytes] = deque()

    def put_queue_status(self, status: mesh_pb2.QueueStatus) -> None:
        """Add a report; when full, the oldest one is lost."""
        payload = mesh_pb2.FromRadio(queueStatus=status).SerializeToString()
        limit = self._limits.queue_status_queue
        self._put(self._statuses, payload, limit, "evicted_queue_status")

    def put_mqtt(self, message: mesh_pb2.MqttClientProxyMessage) -> None:
        """Add a message for the client to publish; when full, the oldest one is lost."""
        payload = mesh_pb2.FromRadio(mqttClientProxyMessage=message).SerializeToString()
        self._put(self._mqtt, payload, self._limits.mqtt_proxy_queue, "evicted_mqtt")

    def put_notification(self, notification: mesh_pb2.ClientNotification) -> None:
        """Add a notification; when full, the oldest one is lost."""
        payload = mesh_pb2.FromRadio(clientNotification=notification).SerializeToString()
        limit = self._limits.notification_queue
        self._put(self._notifications, payload, limit, "evicted_notification")

    def put_packet(self, payload: bytes, *, text: bool = False) -> None:
        """Add a packet's `FromRadio` payload.

        When full, a text evicts the oldest packet whatever it is, and anything else is lost itself,
        acknowledgements included.
        """
        if len(self._packets) >= self._limits.to_phone_queue:
            if not text:
                self._tally["lost_packets"] += 1
                return
            self._packets.popleft()
            self._tally["evicted_packets"] += 1
        self._packets.append(payload)

    def take(self) -> bytes | None:
        """Remove and return the payload that goes next, or `None`."""
        for queue in (self._statuses, self._mqtt, self._notifications, self._packets):
            if queue:
                return queue.popleft()
        return None

    def clear(self) -> None:
        """Lose everything, as a restart does."""
        for queue in (self._statuses, self._mqtt, self._notifications, self._packets):
            queue.clear()

    def __len__(self) -> int:
        return sum(
            map(len, (self._statuses, self._mqtt, self._notifications, self._packets)), start=0
        )

    def _put(self, queue: deque[bytes], payload: bytes, limit: int, lost: str) -> None:
        if len(queue) >= limit:
            queue.popleft()
            self._tally[lost] += 1
        queue.append(payload)
