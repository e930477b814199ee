"""Control on a real PostgreSQL and a nats-server that asks it who may connect; hosts that only talk NATS."""

import asyncio
import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import nkeys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.bus import subjects
from agentplane.bus.accounts import Callout, ServerConfig, User, control, person, render, watcher
from agentplane.bus.callout import Issuer
from agentplane.bus.nats import NatsBus
from agentplane.bus.nkeys import create_seed_file, sign
from agentplane.enrolment import facts
from agentplane.enrolment.keys import public_keys
from agentplane.enrolment.requests import AnnouncementReply, JoinReply, announcement, join_request
from agentplane.errors import AgentplaneError, Denied
from agentplane.events import cloudevents
from agentplane.events.model import StoredEvent
from agentplane.evidence.keys import Ed25519Signer, executor_identity
from agentplane.intents.executors import wish
from agentplane.runs.executors import SYSTEM_TENANT, executor_stream
from agentplane.runs.protocol import HeartbeatReply
from agentplane.store.postgres import PostgresEventStore
from services.control.config import ControlSettings
from tests.nats_server import NatsServer
from tests.postgres import Database
from tests.scenario.servers import control_settings
from tests.scenario.world import TENANT, Executor

Wanted = Callable[[StoredEvent], bool]


class AskingServer(NatsServer):
    """A nats-server that knows control, an operator and a person, and asks control about everybody else."""

    def _configure(self, _users: tuple[User, ...]) -> None:
        issuer = self.directory / "issuer.nk"
        if not issuer.exists():
            issuer.write_bytes(bytes(nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)))
            issuer.chmod(0o600)
        key = {
            role: create_seed_file(self.seed(role)) for role in ("tester", "control", "watcher", "operator", "alice")
        }
        users = (
            User(name="tester", public_key=key["tester"], publish=(">",), subscribe=(">",)),
            control(key["control"]),
            person(key["operator"], TENANT, "operator", operator=True),
            person(key["alice"], TENANT, "alice"),
        )
        callout = Callout(issuer=Issuer(issuer.read_bytes()).public_key, watcher=watcher(key["watcher"]))
        config = ServerConfig(port=self.port, store_dir=str(self.directory / "js"), callout=callout)
        self._config.write_text(render(config, users))


def settings(database: Database, server: NatsServer, where: Path, **more: object) -> ControlSettings:
    joining = {
        "issuer_seed_file": str(server.directory / "issuer.nk"),
        "watcher_nkey_seed_file": str(server.seed("watcher")),
    }
    return control_settings(database, server, where, "declared", heartbeat_seconds=1, joining=joining, **more)


class Host:
    """A machine with keys of its own that may become an executor."""

    def __init__(self, server: NatsServer, name: str, seed: str | None = None) -> None:
        self.server = server
        self.name = name
        self.seed = seed or f"host-{name}"
        self.nkey = create_seed_file(server.seed(self.seed))
        self.executor = Executor(name)
        self.executor.signer = Ed25519Signer(Ed25519PrivateKey.generate(), executor_identity(name))
        self.keys = public_keys(self.executor.signer.public_key, self.nkey)

    async def connect(self) -> NatsBus:
        """Patiently: control may not answer yet."""
        while True:
            try:
                return await self.server.connect(self.seed)
            except AgentplaneError:
                await asyncio.sleep(0.05)

    async def join(self, token: str | None = None, name: str | None = None) -> JoinReply:
        bus = await self.connect()
        try:
            request = join_request(name or self.name, self.keys, self.executor.signer, token)
            data = await bus.request(subjects.join(self.nkey), msgspec.json.encode(request), timeout_s=5)
            return msgspec.json.decode(data, type=JoinReply)
        finally:
            await bus.close()

    async def standing(self, seed: str) -> JoinReply:
        """Whether it was shut out, asked with a new bus key in the file `seed`."""
        nkey = create_seed_file(self.server.seed(seed))
        bus = await self.server.connect(seed)
        try:
            request = join_request(self.name, self.keys, self.executor.signer, None, standing=True)
            data = await bus.request(subjects.join(nkey), msgspec.json.encode(request), timeout_s=5)
            return msgspec.json.decode(data, type=JoinReply)
        finally:
            await bus.close()

    async def join_or_member(self) -> str:
        """As an executor finds out: a member may not ask."""
        try:
            return (await self.join()).state
        except Denied:
            return "member"

    async def beat(self, bus: NatsBus, **changes: object) -> HeartbeatReply:
        request = msgspec.structs.replace(self.executor.heartbeat(), **changes)
        data = await bus.request(subjects.heartbeat(self.name), msgspec.json.encode(request), timeout_s=5)
        return msgspec.json.decode(data, type=HeartbeatReply)

    def next(self) -> "Host":
        """The same host with new keys."""
        return Host(self.server, self.name, f"{self.seed}-next")

    async def announce(self, bus: NatsBus, new: "Host", *, proven: bool = True) -> AnnouncementReply:
        prove = partial(sign, self.server.seed(new.seed)) if proven else None
        request = announcement(self.name, new.keys, self.executor.signer, new.executor.signer, prove)
        data = await bus.request(subjects.next_key(self.name), msgspec.json.encode(request), timeout_s=5)
        return msgspec.json.decode(data, type=AnnouncementReply)


class Operator:
    """Publishes wishes, and reads in the log what became of them."""

    def __init__(self, bus: NatsBus, store: PostgresEventStore) -> None:
        self.bus = bus
        self.store = store

    async def wishes(self, name: str, type_: str, said: msgspec.Struct) -> StoredEvent:
        """The first fact that follows from a wish: a change, or its rejection."""
        intent = wish(uuid.uuid4(), executor=name, type_=type_, actor="user:op", now=datetime.now(UTC), said=said)
        subject = subjects.event_subject(SYSTEM_TENANT, intent.phase, "Executor", type_)
        await self.bus.publish(subject, cloudevents.encode(intent), message_id=str(intent.id))
        return await self.until(
            lambda stored: stored.event.causation_id == intent.id or stored.event.data.get("intentId") == str(intent.id)
        )

    async def until(self, wanted: "Wanted") -> StoredEvent:
        """The first event in the log that fits, as soon as there is one."""
        after = 0
        async for _ in self.store.wakeups():
            while events := await self.store.read(after, 100):
                for stored in events:
                    if wanted(stored):
                        return stored
                after = events[-1].sequence
        raise AssertionError

    async def history(self, name: str) -> list[str]:
        return [stored.event.type for stored in await self.store.read_stream(executor_stream(name))]

    async def token(self, name: str, token: str, ttl_s: int = 3600) -> StoredEvent:
        from agentplane.controllers.joining import token_hash

        said = facts.TokenRequested(token_hash=token_hash(token), ttl_s=ttl_s)
        return await self.wishes(name, facts.TOKEN_REQUESTED, said)

    async def admit(self, host: Host) -> NatsBus:
        """Let a host in with a token, and connect it."""
        token = secrets.token_urlsafe(32)
        await self.token(host.name, token)
        assert (await host.join(token)).state == "approved"
        return await host.connect()


async def is_denied(bus: NatsBus, subject: str) -> bool:
    try:
        await bus.request(subject, b"{}", timeout_s=5)
    except Denied as error:
        return error.code == "bus.denied"
    except AgentplaneError:
        return False
    return False
