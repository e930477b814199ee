"""One subscription of a link, kept over the driver's clients."""

from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

Sink = Callable[[Msg], Awaitable[None]]


class Listener:
    """A subscription that outlives the client it was made on."""

    def __init__(self, subject: str, sink: Sink, queue: str) -> None:
        self._subject = subject
        self._sink = sink
        self._queue = queue
        self._subscription: Subscription | None = None

    async def attach(self, client: Client) -> None:
        """Subscribe on this client."""
        self._subscription = await client.subscribe(self._subject, queue=self._queue, cb=self._sink)

    async def detach(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
