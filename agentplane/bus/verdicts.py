"""What becomes of delivered messages, said to JetStream: one word per message, many of them in one write.

Each write wakes the server, which costs both sides more than what is said. Losing words costs redeliveries, which
every consumer must bear anyway.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client

from agentplane.bus.failures import DRIVER

_GATHER_S: Final = 0.001


class Verdicts:
    """The words of one link, kept for a millisecond at most."""

    def __init__(self, client: Callable[[], Client]) -> None:
        """`client`: the one that is there now."""
        self._client = client
        self._waiting: list[bytes] = []

    def add(self, reply: str, verdict: bytes) -> None:
        """Say it to a delivery's reply subject."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(_GATHER_S, self.write)
        self._waiting.append(b"PUB %b %d\r\n%b\r\n" % (reply.encode(), len(verdict), verdict))

    def write(self) -> None:
        """Write what waits, now."""
        together, client = b"".join(self._waiting), self._client()
        self._waiting.clear()
        if not together:
            return
        if client.is_connected:
            transport: Any = client._transport  # noqa: SLF001 - the driver has no way without a task per write
            with contextlib.suppress(*DRIVER):  # its reading half says what is wrong
                transport.write(together)
        else:  # goes with whatever else the driver sends when it is back
            client._pending.append(together)  # noqa: SLF001
            client._pending_data_size += len(together)  # noqa: SLF001
