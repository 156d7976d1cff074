"""A measure for what somebody may do in a while: a bucket that refills. Without I/O."""


class Bucket:
    """Holds so much at most, and refills at a steady rate. It may be overdrawn once at a time."""

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, capacity: float, rate: float, now: float) -> None:
        """Start full.

        Args:
            capacity: What can be taken at once.
            rate: What comes back in a second.
            now: Seconds that only grow.
        """
        self.capacity = capacity
        self.rate = rate
        self._level = capacity
        self._at = now

    def take(self, amount: float, now: float) -> None:
        """Take an amount, also where it is not there."""
        self._level = self.level(now) - amount
        self._at = now

    def delay(self, now: float) -> float:
        """Return after how many seconds something can be taken again; 0 for at once."""
        level = self.level(now)
        return 0.0 if level > 0 else (1.0 - level) / self.rate

    def level(self, now: float) -> float:
        """Return what can be taken; below 0 where more was taken than there was."""
        return min(self.capacity, self._level + max(now - self._at, 0.0) * self.rate)
