"""What control needs of the bus beyond the port: it owns the streams and must know when it was cut off."""

from collections.abc import Callable
from typing import Protocol

from agentplane.ports import Bus
from agentplane.store.relay import RelayBus


class ControlBus(Bus, RelayBus, Protocol):
    """The port, and the owner's side of it."""

    @property
    def connected(self) -> bool:
        """Whether the server is there right now."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every reconnect."""
        ...

    async def ensure_streams(self) -> None:
        """Make or update all streams. Raises Transient, Denied."""
        ...
