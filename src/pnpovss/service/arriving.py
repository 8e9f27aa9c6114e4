"""Bodies on their way into the queue: so many bytes of all of them together are kept, and no more."""

__all__ = ["Arriving", "Room"]


class Arriving:
    """What all bodies share until they are in the queue; used by one event loop.

    Attributes:
        most: bytes that are kept at once.
        bytes: that are kept now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0


class Room:
    """The part of it that one body takes, until the end of the `with` block."""

    def __init__(self, arriving: Arriving) -> None:
        self._arriving = arriving
        self._taken = 0

    def take(self, count: int) -> bool:
        """Take so many bytes more; False, and nothing is taken, where they are not there."""
        if self._arriving.bytes + count > self._arriving.most:
            return False
        self._arriving.bytes += count
        self._taken += count
        return True

    def leave(self) -> None:
        """Give back all that was taken."""
        self._arriving.bytes -= self._taken
        self._taken = 0

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()
