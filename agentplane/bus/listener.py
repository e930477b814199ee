"""One subscription of a link, kept over the driver's clients."""

from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agentplane.bus.reading import Reader, Taker

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


class ShortListener(Listener):
    """The same for somebody who takes messages right out of the bytes (agentplane.bus.reading)."""

    def __init__(self, subject: str, taker: Taker) -> None:
        async def nothing(_: Msg) -> None:
            """The reader hands the driver no message of this subscription."""

        super().__init__(subject, nothing, "")
        self._taker = taker
        self._place: tuple[Reader, int] | None = None

    async def attach(self, client: Client) -> None:
        """Subscribe on this client, whose reader knows us before the server does."""
        reader, number = Reader.of(client), client._sid + 1  # noqa: SLF001 - the driver counts its subscriptions so
        reader.takers[number] = self._taker
        self._place = (reader, number)
        try:
            await super().attach(client)
        except BaseException:
            self._forget()
            raise

    async def detach(self) -> None:
        """Unsubscribe; the driver drops what comes after that."""
        self._forget()
        await super().detach()

    def _forget(self) -> None:
        if self._place is not None:
            reader, number = self._place
            reader.takers.pop(number, None)
