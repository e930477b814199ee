"""Joining, lying, draining, rotating, leaving: against a real nats-server and PostgreSQL."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agentplane.bus.nats import NatsBus
from agentplane.bus.nkeys import public_key
from agentplane.enrolment import facts
from agentplane.errors import Denied
from agentplane.evidence.journal import next_link
from agentplane.evidence.record import About, issue
from agentplane.evidence.report import started_artifact
from agentplane.evidence.statement import RunRef
from agentplane.runs.model import RunStarted
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND
from services.control import door
from tests.integration.enrolment.plane import AskingServer, Host, Operator, is_denied, settings
from tests.postgres import Database
from tests.scenario.servers import daemon
from tests.scenario.world import GUEST, TENANT

TOKEN = "apjoin_" + "t" * 43


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskingServer]:
    server = AskingServer(tmp_path_factory.mktemp("asking"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def operator(server: AskingServer, database: Database, tmp_path: Path) -> AsyncIterator[Operator]:
    server.wipe()
    for seed in server.directory.glob("host-*"):
        seed.unlink()
    tester = await server.connect()
    await tester.ensure_streams()
    await tester.close()
    store = await PostgresEventStore.open(database.conninfo(APPEND))
    async with store, daemon(settings(database, server, tmp_path / "control")):
        bus = await server.connect("operator")
        yield Operator(bus, store)
        await bus.close()


async def test_a_token_lets_in_once_and_for_one_name(operator: Operator, server: AskingServer) -> None:
    assert (await operator.token("exec-a", TOKEN)).event.type == "executor.token-created"
    stranger, first, second = Host(server, "exec-b"), Host(server, "exec-a"), Host(server, "exec-a", "host-thief")
    assert (await stranger.join(TOKEN)).code == "join.token-name"
    assert (await stranger.join("apjoin_unknown")).code == "join.token-unknown"
    assert (await first.join(TOKEN)).state == "approved"
    assert (await second.join(TOKEN)).code == "join.token-used"
    assert (await second.join()).code == "join.name-taken"
    bus = await first.connect()
    assert (await first.beat(bus)).accepted
    assert await is_denied(bus, "agentplane-join." + first.nkey + ".request")  # a member has nothing to ask
    await bus.close()
    assert await operator.history("exec-a") == [
        "executor.token-requested",
        "executor.token-created",
        "executor.join-refused",
        "executor.approved",
        "executor.join-refused",
        "executor.registered",
    ]
    stored = [event.event.data for event in await operator.store.read(0, 1000)]
    assert TOKEN not in str(stored)


async def test_strangers_who_ask_too_much_keep_nobody_out_who_has_a_token(
    operator: Operator, server: AskingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_NEWS_A_MINUTE", 0)
    await operator.token("exec-a", TOKEN)
    assert (await Host(server, "exec-b").join()).code == "join.busy"
    assert (await Host(server, "exec-a").join(TOKEN)).state == "approved"


async def test_an_expired_token_is_refused(operator: Operator, server: AskingServer) -> None:
    created = await operator.token("exec-a", TOKEN, ttl_s=1)
    expires = datetime.fromisoformat(created.event.data["expiresAt"])
    while datetime.now(UTC) <= expires:  # noqa: ASYNC110 - time has no event
        await asyncio.sleep(0.05)
    assert (await Host(server, "exec-a").join(TOKEN)).code == "join.token-expired"


async def test_an_operator_approves_by_fingerprint(operator: Operator, server: AskingServer) -> None:
    right, wrong = Host(server, "exec-a"), Host(server, "exec-a", "host-wrong")
    assert (await right.join()).state == "pending"
    assert (await wrong.join()).state == "pending"
    assert (await right.join()).state == "pending"  # asked again: no second request
    unknown = facts.ApprovalRequested(fingerprint="0" * 64)
    rejected = await operator.wishes("exec-a", facts.APPROVAL_REQUESTED, unknown)
    assert rejected.event.data["code"] == "executor.fingerprint"
    said = facts.ApprovalRequested(fingerprint="SHA256:" + right.keys.key_id)
    assert (await operator.wishes("exec-a", facts.APPROVAL_REQUESTED, said)).event.type == "executor.approved"
    assert (await right.join_or_member()) == "member"
    assert (await wrong.join()).code == "join.name-taken"
    assert (await operator.history("exec-a")).count("executor.join-requested") == 2


async def test_a_stranger_may_only_ask_to_join(operator: Operator, server: AskingServer) -> None:
    bus = await Host(server, "exec-x").connect()
    for subject in (
        "agentplane-executor.exec-x.heartbeat",
        "agentplane-executor.exec-x.report",
        "agentplane-executor.exec-x.key",
        "agentplane-join.U" + "A" * 55 + ".request",
        "agentplane.system.intent.Executor.executor.approval-requested",
        "agentplane.acme.intent.Run.run.requested",
        "agentplane-query.acme.runs-list",
        "$JS.API.STREAM.INFO.AGENTPLANE_INTENTS",
        "$SYS.REQ.USER.AUTH",
        "$SYS.REQ.SERVER.PING.CONNZ",
        "_INBOX.anybody",
    ):
        assert await is_denied(bus, subject), subject
    await bus.close()


PROBES = (
    "agentplane-executor.exec-b.heartbeat",
    "agentplane-executor.exec-b.report",
    "agentplane-executor.exec-b.log.acme.some-run.console",
    "agentplane-executor.exec-b.key",
    "agentplane-executor.exec-b.artifact",
    "agentplane-executor.exec-b.wake",
    "agentplane-executor.exec-a.wake",
    "agentplane.acme.intent.Run.run.requested",
    "agentplane.acme.fact.Run.run.finished",
    "agentplane.system.intent.Executor.executor.revocation-requested",
    "agentplane-query.acme.runs-list",
    "$JS.API.STREAM.PURGE.AGENTPLANE_INTENTS",
    "$JS.API.CONSUMER.CREATE.AGENTPLANE_LOGS.mine.agentplane-executor.exec-b.log.>",
    "$JS.API.DIRECT.GET.AGENTPLANE_LOGS",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING.CONNZ",
)
LISTENS = (
    "agentplane-executor.exec-b.wake",
    "agentplane-executor.exec-b.>",
    "agentplane-executor.*.heartbeat",
    "agentplane-join.>",
    "agentplane.acme.>",
    "$SYS.>",
    "_INBOX.>",
)


async def test_two_executors_can_lie_only_about_themselves(operator: Operator, server: AskingServer) -> None:
    first, second = Host(server, "exec-a"), Host(server, "exec-b")
    one, other = await operator.admit(first), await operator.admit(second)
    assert [subject for subject in (*PROBES, f"_INBOX.{second.nkey}.x") if not await is_denied(one, subject)] == []
    assert [subject for subject in LISTENS if not await listening_is_denied(one, subject)] == []
    assert await listening_is_denied(one, f"_INBOX.{second.nkey}.>")
    assert (await first.beat(one)).accepted
    assert (await second.beat(other)).accepted
    with_anothers = await first.beat(one, key_id=second.keys.key_id)
    assert (with_anothers.accepted, with_anothers.code) == (False, "executor.key")
    forged = report_of(second)
    await one.publish("agentplane-executor.exec-a.report", forged, message_id="forged")
    rejected = await operator.until(lambda stored: stored.event.type == "executor.evidence-rejected")
    assert (rejected.event.stream.name, rejected.event.data["code"]) == ("exec-a", "evidence.signer")
    for bus in (one, other):
        await bus.close()


def report_of(host: Host) -> bytes:
    """A genuine statement of a host, about a run that it never had."""
    about = About(
        run=RunRef(tenant=TENANT, name="some-run", epoch=1), bundle="noop@0.1.0", bundle_digest="sha256:" + "a" * 64
    )
    started = RunStarted(executor=host.name, epoch=1, guest=GUEST, accelerator="kvm")
    link = next_link(host.executor.head, run_previous=None)
    return issue(started_artifact(started), about=about, link=link, signer=host.executor.signer).envelope


async def test_who_has_another_executors_keys_does_not_join(operator: Operator, server: AskingServer) -> None:
    first = Host(server, "exec-a")
    await (await operator.admit(first)).close()
    copy = Host(server, "exec-c")
    copy.executor.signer, copy.keys = (
        first.executor.signer,
        type(copy.keys)(key_id=first.keys.key_id, public_key=first.keys.public_key, nkey=copy.nkey),
    )
    assert (await copy.join()).code == "join.key-taken"
    forged = Host(server, "exec-d")
    forged.keys = type(forged.keys)(key_id=copy.keys.key_id, public_key=copy.keys.public_key, nkey=forged.nkey)
    assert (await forged.join()).code == "join.signature"


async def test_a_revoked_executor_is_off_the_bus_at_once(operator: Operator, server: AskingServer) -> None:
    host = Host(server, "exec-a")
    bus = await operator.admit(host)
    assert (await host.beat(bus)).accepted
    fact = await operator.wishes("exec-a", facts.REVOCATION_REQUESTED, facts.Wish(reason="stolen"))
    assert (fact.event.type, fact.event.data) == ("executor.revoked", {"by": "user:op", "reason": "stolen"})
    async with asyncio.timeout(20):
        await disconnected(bus)
    with pytest.raises(Denied):
        await server.connect(host.seed)
    again = await operator.wishes("exec-a", facts.REVOCATION_REQUESTED, facts.Wish())
    assert again.event.data["code"] == "executor.unchanged"
    await bus.close()


async def test_who_was_shut_out_hears_it_over_a_key_of_the_moment(operator: Operator, server: AskingServer) -> None:
    host, other = Host(server, "exec-a"), Host(server, "exec-b")
    bus = await operator.admit(host)
    assert (await host.standing("moment-1")).state == "approved"
    await operator.wishes("exec-a", facts.REVOCATION_REQUESTED, facts.Wish(reason="stolen"))
    history = await operator.history("exec-a")
    said = await host.standing("moment-2")
    assert (said.state, said.code) == ("refused", "join.left")
    assert said.message.startswith("revoked since ")
    assert said.message.endswith("by user:op (stolen)")
    other.name = "exec-a"  # with a signing key of its own: it is told nothing of others
    assert (await other.standing("moment-3")).state == "approved"
    assert await operator.history("exec-a") == history
    await bus.close()


async def test_a_clock_far_off_is_noticed_and_forgiven(operator: Operator, server: AskingServer) -> None:
    host = Host(server, "exec-a")
    bus = await operator.admit(host)
    now = datetime.now(UTC)
    assert (await host.beat(bus, clock=now)).accepted
    assert (await host.beat(bus, clock=now + timedelta(seconds=300))).accepted
    await host.beat(bus, clock=datetime.now(UTC) + timedelta(seconds=301))
    await host.beat(bus, clock=datetime.now(UTC))
    await bus.close()
    clocks = [kind for kind in await operator.history("exec-a") if "clock" in kind]
    assert clocks == ["executor.clock-off", "executor.clock-right"]


async def test_keys_rotate_with_an_overlap(operator: Operator, server: AskingServer) -> None:
    host = Host(server, "exec-a")
    bus = await operator.admit(host)
    new = host.next()
    unasked = await host.announce(bus, new)
    assert (unasked.accepted, unasked.code) == (False, "rotation.not-asked")
    await operator.wishes("exec-a", facts.ROTATION_REQUESTED, facts.RotationRequested(overlap_s=3))
    assert (await host.beat(bus)).rotate
    assert (await host.announce(bus, new)).accepted
    assert (await host.announce(bus, new)).accepted  # told twice: once
    announced = await operator.until(lambda stored: stored.event.type == facts.KEY_ANNOUNCED)
    fresh = await new.connect()
    assert (await new.beat(fresh)).accepted
    assert (await host.beat(bus)).accepted  # both count
    until = datetime.fromisoformat(announced.event.data["until"])
    async with asyncio.timeout(30):
        await disconnected(bus)
    assert datetime.now(UTC) >= until
    with pytest.raises(Denied):
        await server.connect(host.seed)
    old_id = await new.beat(fresh, key_id=host.keys.key_id)
    assert old_id.code == "executor.key-expired"
    assert (await new.beat(fresh)).accepted
    for each in (bus, fresh):
        await each.close()


async def test_the_bus_key_of_somebody_else_cannot_be_announced(operator: Operator, server: AskingServer) -> None:
    """It would be barred with the executor that announced it, and its owner be thrown off the bus again and again."""
    host = Host(server, "exec-a")
    bus = await operator.admit(host)
    await operator.wishes("exec-a", facts.ROTATION_REQUESTED, facts.RotationRequested(overlap_s=3))
    taken = host.next()
    taken.keys = msgspec.structs.replace(taken.keys, nkey=public_key(server.seed("alice")))
    assert (await host.announce(bus, taken)).code == "join.signature"
    assert (await host.announce(bus, taken, proven=False)).code == "rotation.nkey"
    assert (await host.announce(bus, host.next())).accepted
    await bus.close()


async def test_people_who_are_no_operators_cannot_say_who_is_an_executor(
    server: AskingServer, operator: Operator
) -> None:
    alice = await server.connect("alice")
    assert await is_denied(alice, "agentplane.system.intent.Executor.executor.drain-requested")
    await alice.close()


async def listening_is_denied(bus: NatsBus, subject: str) -> bool:
    heard = asyncio.Event()

    class Refusal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if f"does not allow subscription to {subject}".lower() in record.getMessage().lower():
                heard.set()

    handler = Refusal()
    logging.getLogger("agentplane.bus.link").addHandler(handler)
    listening = asyncio.ensure_future(anext(bus.subscribe(subject)))
    try:
        async with asyncio.timeout(10):
            await heard.wait()
    except TimeoutError:
        return False
    finally:
        logging.getLogger("agentplane.bus.link").removeHandler(handler)
        listening.cancel()
    return True


async def disconnected(bus: NatsBus) -> None:
    """Until the server has ended the connection."""
    while bus.connected:  # noqa: ASYNC110 - the port says nothing of it
        await asyncio.sleep(0.02)
