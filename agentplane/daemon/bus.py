"""How a daemon connects to the bus: as its settings say, under its own name."""

from agentplane.bus.nats import NatsBus
from agentplane.daemon.config import NatsSettings


async def connect(nats: NatsSettings, name: str) -> NatsBus:
    """A connection that comes back by itself. Raises what NatsBus.connect raises."""
    return await NatsBus.connect(
        nats.servers,
        nkey_seed_file=nats.nkey_seed_file,
        name=name,
        tls=nats.encryption,
        allow_plaintext=nats.allow_plaintext,
    )
