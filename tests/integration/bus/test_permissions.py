"""What each key may not do, tried against a real server."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from agentplane.bus.nats import NatsBus
from agentplane.bus.nkeys import create_seed_file
from agentplane.bus.subjects import EVENTS, INTENTS, LOGS
from agentplane.errors import AgentplaneError, Denied
from tests.nats_server import NatsServer, bus, nats_server  # noqa: F401 - fixtures

PUBLISH_DENIED = [
    ("exec-1", "agentplane-executor.exec-2.report"),
    ("exec-1", "agentplane-executor.exec-2.heartbeat"),
    ("exec-1", "agentplane-executor.exec-2.log.default.some-run.console"),
    ("exec-1", "agentplane.acme.intent.Run.run.requested"),
    ("exec-1", "agentplane.acme.fact.Run.run.finished"),
    ("exec-1", "agentplane-query.acme.runs-list"),
    ("exec-1", "agentplane-executor.exec-1.wake"),
    ("alice", "agentplane.rival.intent.Run.run.requested"),
    ("alice", "agentplane.acme.fact.Run.run.finished"),
    ("alice", "agentplane-query.rival.runs-list"),
    ("alice", "agentplane-attest.rival.executor-keys"),
    ("exec-1", "agentplane-attest.acme.executor-keys"),
    ("alice", "agentplane-query.system.projections-rebuild"),
    ("olga", "agentplane-query.system.runs-list"),
    ("olga", "agentplane-query.rival.runs-list"),
    ("alice", "agentplane-executor.exec-1.report"),
    ("alice", "agentplane-executor.exec-1.artifact"),
    ("alice", "_INBOX.anybody.else"),
    ("projector", "agentplane.acme.fact.Run.run.finished"),
    ("projector", "agentplane.acme.intent.Run.run.requested"),
    ("projector", "agentplane-executor.exec-1.wake"),
    ("control", "agentplane.acme.intent.Run.run.requested"),
    ("control", "agentplane-executor.exec-1.report"),
]

SUBSCRIBE_DENIED = [
    ("exec-1", "agentplane-executor.exec-2.wake"),
    ("exec-1", "agentplane-executor.*.artifact"),
    ("exec-1", "agentplane.acme.>"),
    ("exec-1", "_INBOX.>"),
    ("alice", "agentplane.rival.fact.>"),
    ("alice", "agentplane.*.fact.>"),
    ("alice", "agentplane.acme.intent.>"),
    ("alice", "agentplane-executor.*.log.>"),
    ("alice", "_INBOX.>"),
    ("alice", "agentplane-query.acme.*"),
    ("alice", "agentplane-attest.acme.executor-keys"),
    ("projector", "agentplane-executor.*.heartbeat"),
    ("control", "agentplane-query.*.*"),
    ("control", ">"),
]

JETSTREAM = [
    f"$JS.API.{operation}.{stream}"
    for stream in (INTENTS, EVENTS, LOGS)
    for operation in ("STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.SNAPSHOT")
] + [
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.ACCOUNT.PURGE.$G",
    f"$JS.API.CONSUMER.CREATE.{EVENTS}.mine.agentplane.acme.fact.x",
    f"$JS.API.CONSUMER.DELETE.{INTENTS}.control",
    f"$JS.API.CONSUMER.MSG.NEXT.{INTENTS}.control",
    f"$JS.API.STREAM.MSG.GET.{EVENTS}",
    f"$JS.API.DIRECT.GET.{EVENTS}",
    f"$JS.ACK.{INTENTS}.control.1.1.1.1.0",
]


@pytest.fixture
async def connect(nats_server: NatsServer, bus: NatsBus) -> AsyncIterator[dict[str, NatsBus]]:  # noqa: F811
    roles = ("control", "projector", "exec-1", "exec-2", "alice", "bob", "olga")
    made = {role: await nats_server.connect(role) for role in roles}
    yield made
    for each in made.values():
        await each.close()


async def denied(bus: NatsBus, subject: str) -> bool:  # noqa: F811
    try:
        await bus.request(subject, b"{}", timeout_s=5)
    except Denied as error:
        return error.code == "bus.denied"
    except AgentplaneError:
        return False
    return False


async def test_no_key_publishes_beyond_its_role(connect: dict[str, NatsBus]) -> None:
    allowed = [case for case in PUBLISH_DENIED if not await denied(connect[case[0]], case[1])]
    assert allowed == []


async def test_only_control_touches_streams(connect: dict[str, NatsBus]) -> None:
    roles = ("projector", "exec-1", "alice")
    allowed = [(role, subject) for role in roles for subject in JETSTREAM if not await denied(connect[role], subject)]
    assert allowed == []
    await connect["control"].ensure_streams()


class Heard(logging.Handler):
    """Sets an event when the bus says that a subscription is not allowed."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self.refused = asyncio.Event()
        self._words = f"does not allow subscription to {subject}".lower()

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage().lower():
            self.refused.set()


@pytest.mark.parametrize(("role", "subject"), SUBSCRIBE_DENIED)
async def test_no_key_listens_beyond_its_role(role: str, subject: str, connect: dict[str, NatsBus]) -> None:
    heard = Heard(subject)
    logging.getLogger("agentplane.bus.link").addHandler(heard)
    try:
        listening = asyncio.ensure_future(anext(connect[role].subscribe(subject)))
        async with asyncio.timeout(10):
            await heard.refused.wait()
        listening.cancel()
        await asyncio.wait([listening])
    finally:
        logging.getLogger("agentplane.bus.link").removeHandler(heard)


async def test_each_role_can_do_its_work(connect: dict[str, NatsBus]) -> None:
    async def echo(_: str, data: bytes) -> bytes:
        return data

    await connect["alice"].publish("agentplane.acme.intent.Run.run.requested", b"i", message_id="i")
    await connect["exec-1"].publish("agentplane-executor.exec-1.report", b"r", message_id="r")
    await connect["control"].publish("agentplane.acme.fact.Run.run.created", b"f", message_id="f")
    await connect["exec-1"].emit("agentplane-executor.exec-1.log.default.some-run.console", b"line")
    await connect["control"].respond("agentplane-executor.*.heartbeat", echo)
    assert await connect["exec-1"].request("agentplane-executor.exec-1.heartbeat", b"h", timeout_s=5) == b"h"
    await connect["control"].respond("agentplane-attest.*.executor-keys", echo)
    assert await connect["alice"].request("agentplane-attest.acme.executor-keys", b"k", timeout_s=5) == b"k"
    await connect["projector"].respond("agentplane-query.*.*", echo)
    assert await connect["alice"].request("agentplane-query.acme.runs-list", b"q", timeout_s=5) == b"q"
    await connect["exec-1"].respond("agentplane-executor.exec-1.artifact", echo)
    assert await connect["projector"].request("agentplane-executor.exec-1.artifact", b"a", timeout_s=5) == b"a"
    async with asyncio.timeout(10):
        assert (await anext(connect["control"].consume(INTENTS, "c", subject="agentplane.*.intent.>"))).data == b"i"
        found = None
        while found is None:
            found = await connect["projector"].stored(
                LOGS, "agentplane-executor.exec-1.log.default.some-run.console", 0
            )
    assert found[1] == b"line"


async def test_an_acknowledgement_steered_elsewhere_does_no_harm(connect: dict[str, NatsBus], bus: NatsBus) -> None:  # noqa: F811
    """Whoever publishes names the subject of the answer; the server sends it there past that key's permissions."""
    before = {stream: await bus.stream_identity(stream) for stream in (INTENTS, EVENTS, LOGS)}
    await connect["control"].publish("agentplane.rival.fact.Run.run.created", b"kept", message_id="kept")
    elsewhere = [
        "agentplane.rival.intent.Run.run.requested",
        "agentplane-executor.exec-1.report",
        *(f"$JS.API.STREAM.{operation}.{EVENTS}" for operation in ("PURGE", "DELETE", "UPDATE")),
    ]
    for number, subject in enumerate(elsewhere):
        headers = {"Nats-Msg-Id": str(number)}
        await connect["alice"]._link.cast("agentplane.acme.intent.Run.x", b"mine", reply=subject, headers=headers)
    await connect["bob"].publish("agentplane.rival.intent.Run.y", b"genuine", message_id="genuine")
    await connect["exec-1"].publish("agentplane-executor.exec-1.report", b"genuine", message_id="report")
    async with asyncio.timeout(10):
        for subject in ("agentplane.rival.intent.>", "agentplane-executor.*.report"):
            durable = "rival" if "rival" in subject else "reports"
            assert (await anext(connect["control"].consume(INTENTS, durable, subject=subject))).data == b"genuine"
        assert (await anext(bus.follow(EVENTS, "agentplane.>"))).data == b"kept"
    assert {stream: await bus.stream_identity(stream) for stream in before} == before


async def test_an_answer_steered_elsewhere_is_not_sent(connect: dict[str, NatsBus], bus: NatsBus) -> None:  # noqa: F811
    """Whoever asks names the subject of the answer, and control may purge streams and publish facts."""

    async def keep(_: str, data: bytes) -> bytes:
        return data

    kept = "agentplane.steered.fact.Run.run.created"
    await connect["control"].publish(kept, b"kept", message_id="kept before an answer")
    await connect["control"].respond("agentplane-executor.*.heartbeat", keep)
    elsewhere = [
        f"$JS.API.STREAM.PURGE.{EVENTS}",
        f"$JS.API.STREAM.UPDATE.{EVENTS}",
        "agentplane.steered.fact.Run.run.finished",
        "agentplane-executor.exec-2.wake",
        "$SYS._INBOX.somebody.else",
        "_INBOX.*.>",
    ]
    for subject in elsewhere:
        await connect["exec-1"]._link.cast("agentplane-executor.exec-1.heartbeat", b"{}", reply=subject)
    assert await connect["exec-1"].request("agentplane-executor.exec-1.heartbeat", b"h", timeout_s=5) == b"h"
    await connect["control"].publish("agentplane.steered.fact.Run.run.last", b"last", message_id="last of them")
    async with asyncio.timeout(10):
        found = bus.follow(EVENTS, "agentplane.steered.>")
        assert [(await anext(found)).data, (await anext(found)).data] == [b"kept", b"last"]


async def test_a_strange_key_is_not_let_in(nats_server: NatsServer) -> None:  # noqa: F811
    stranger = nats_server.directory / "stranger.nk"
    create_seed_file(stranger)
    with pytest.raises(Denied) as caught:
        await NatsBus.connect([nats_server.url], nkey_seed_file=stranger, name="stranger", timeout_s=5)
    assert caught.value.code == "bus.denied"


async def test_no_key_is_not_let_in(nats_server: NatsServer) -> None:  # noqa: F811
    with pytest.raises(Denied):
        await NatsBus.connect([nats_server.url], nkey_seed_file=None, name="nobody", timeout_s=5)


async def test_a_key_that_others_may_read_is_refused(nats_server: NatsServer) -> None:  # noqa: F811
    open_key = nats_server.directory / "open.nk"
    create_seed_file(open_key)
    open_key.chmod(0o644)
    with pytest.raises(Denied) as caught:
        await NatsBus.connect([nats_server.url], nkey_seed_file=open_key, name="open")
    assert caught.value.code == "nkey.mode"
