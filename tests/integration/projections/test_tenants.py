"""Two tenants probe each other: every question that can be asked, about everything that the other one has.

Whoever adds a question adds it here, or the first test fails.
"""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.domains.discovery import installed
from agentplane.domains.simulation import simulate
from agentplane.events.model import Append, StoredEvent
from agentplane.ids import EventId
from agentplane.projections.engine import PROJECTIONS
from agentplane.projections.status import Rebuilt
from agentplane.queries.server import QueryServer
from agentplane.queries.views import PROJECTION, ViewAnswers
from agentplane.runs.executors import SYSTEM_TENANT
from agentplane.runs.states import Outcome
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT
from agentplane.store.view_reader import ViewReader
from agentplane.store.view_rows import ViewRows
from agentplane.store.views import ViewStore
from tests.domains import NOW, wish
from tests.integration.projections.conftest import record
from tests.postgres import Database
from tests.unit.projections.histories import Log

OWN, OTHER = "acme", "rival"
SECRET = "moonshot"  # in the name of everything that the other tenant has
SPEC: dict[str, object] = {"displayName": SECRET, "owner": {"name": SECRET, "email": f"{SECRET}@rival.example"}}
REGISTRY = installed().registry
VIEWS = tuple(f"{PROJECTION}{name}" for name in REGISTRY.projections)


@pytest.fixture
async def stored(store: PostgresEventStore, database: Database) -> list[StoredEvent]:
    """Runs and resources of both tenants, folded; what the other one has."""
    log = Log()
    log.executor("exec-1")
    log.run("plain", tenant=OWN)
    log.run(f"{SECRET}-run", tenant=OTHER)
    log.run(f"{SECRET}-failed", tenant=OTHER, outcome=Outcome.TIMEOUT)
    await record(store, log.stored)
    own = wish("Organization", f"{SECRET}-org", SPEC)
    intent = replace(own, stream=replace(own.stream, tenant=OTHER))
    events = [event for step in simulate(REGISTRY, None, intent, NOW).steps for event in step.events]
    await store.append(Append(stream=intent.stream, expected_version=0, events=(intent, *events)))
    views = ViewStore(database.conninfo(PROJECT), (*PROJECTIONS.values(), *REGISTRY.projections.values()))
    await views.prepare()
    await views.catch_up()
    await views.close()
    return [each for each in await store.read(0) if each.event.stream.tenant == OTHER]


@pytest.fixture
async def server(reader: ViewReader) -> AsyncIterator[QueryServer]:
    async def rebuild(_: str | None) -> tuple[Rebuilt, ...]:
        return ()

    log = LogQueries(reader)
    bus = MemoryBus()
    yield QueryServer(bus, reader, log, rebuild, domains=ViewAnswers(REGISTRY, ViewRows(reader), log))
    await bus.close()


def probes(foreign: list[StoredEvent]) -> dict[str, list[dict[str, Any]]]:
    """Everything that could be asked about what the other tenant has, by question."""
    ids = [str(each.event.id) for each in foreign]
    places = [str(each.sequence) for each in foreign]
    correlations = [str(each.event.correlation_id) for each in foreign]
    past: list[dict[str, Any]] = [{}, {"at": {"sequence": foreign[-1].sequence}}]
    runs = [f"{SECRET}-run", f"{SECRET}-failed", SECRET, SECRET[:4]]
    kinds = [kind.name for kind in REGISTRY.kinds.values()]
    filters: list[dict[str, Any]] = [
        {},
        {"kind": "Run"},
        {"kind": "Organization"},
        {"name": f"{SECRET}-run"},
        *({"correlation": each} for each in correlations),
    ]
    return {
        "runs-list": [{"limit": 100} | at for at in past],
        "run-get": [{"run": name} | at for name in runs for at in past],
        "run-logs": [{"run": name} for name in runs],
        "artifact-piece": [{"run": name, "path": "report.txt"} for name in runs],
        "executors-list": past,
        "events-list": [{"limit": 1000} | each for each in filters],
        "events-get": [{"event": each} for each in (*ids, *places)],
        "events-stats": [each | {"by": by} for each in filters for by in ("type", "kind", "actor", "name")],
        "events-known": [{"ids": ids[:50]}],
        "evidence-get": [{"run": name} for name in runs],
        "resources-list": [{"kind": kind} | at for kind in kinds for at in past],
        "resource-get": [{"kind": "Organization", "name": f"{SECRET}-org", "deleted": True} | at for at in past],
        "views-list": [{"view": view} | at for view in VIEWS for at in past],
        "view-get": [{"view": view, "name": f"{SECRET}-org"} | at for view in VIEWS for at in past],
        "views-count": [{"view": view} | at for view in VIEWS for at in past],
        "projections-status": [{}],
        "projections-rebuild": [{}],
    }


async def ask(server: QueryServer, tenant: str, name: str, body: dict[str, Any]) -> bytes:
    return await server.answer(f"agentplane-query.{tenant}.{name}", json.dumps(body).encode())


def told(answer: bytes, body: dict[str, Any], foreign: list[StoredEvent]) -> list[str]:
    """What the answer says of the other tenant that was not in the question."""
    asked = json.dumps(body)
    marks = {SECRET, OTHER, *(str(each.event.id) for each in foreign)}
    marks |= {str(each.event.correlation_id) for each in foreign}
    return [mark for mark in marks if mark.encode() in answer and mark not in asked and mark[:4] not in asked]


async def test_every_question_is_probed(server: QueryServer, stored: list[StoredEvent]) -> None:
    unknown = json.loads(await ask(server, OWN, "no-such-question", {}))
    assert set(unknown["error"]["hint"].split(", ")) == set(probes(stored))


async def test_nobody_is_told_of_another_tenant(server: QueryServer, stored: list[StoredEvent]) -> None:
    for name, bodies in probes(stored).items():
        for body in bodies:
            answer = await ask(server, OWN, name, body)
            assert told(answer, body, stored) == [], (name, body, answer[:300])


async def test_the_owner_is_told_by_the_same_questions(server: QueryServer, stored: list[StoredEvent]) -> None:
    """Or the test above would prove nothing."""
    silent = {
        "executors-list",
        "run-logs",
        "artifact-piece",
        "projections-status",
        "projections-rebuild",
        "events-stats",
    }
    for name, bodies in probes(stored).items():
        answers = [await ask(server, OTHER, name, body) for body in bodies]
        spoke = any(b'"ok"' in answer and (SECRET.encode() in answer) for answer in answers)
        assert spoke or name in silent or name in {"views-count", "evidence-get"}, (name, answers[:2])


async def test_what_stopped_a_projection_is_told_to_its_owner_only(
    server: QueryServer, store: PostgresEventStore, stored: list[StoredEvent], database: Database
) -> None:
    run = next(each for each in stored if each.event.type == "run.placed").event
    poison = replace(run, id=EventId(uuid.uuid4()), stream=replace(run.stream, name="new"), data={SECRET: 1})
    (last,) = await store.append(Append(stream=poison.stream, expected_version=0, events=(poison,)))
    views = ViewStore(database.conninfo(PROJECT), tuple(PROJECTIONS.values()))
    await views.prepare()
    await views.catch_up()
    await views.close()
    own, other = [await ask(server, tenant, "projections-status", {}) for tenant in (OWN, OTHER)]
    assert told(own, {}, [*stored, last]) == []
    assert b"the projector's log says why" in own
    assert str(last.event.id).encode() in other


async def test_what_is_anothers_and_what_never_was_are_answered_alike(
    server: QueryServer, stored: list[StoredEvent]
) -> None:
    """Word for word, so that nobody learns which ids and names exist."""
    for name, field, existing, invented in (
        ("events-get", "event", str(stored[0].event.id), str(uuid.UUID(int=1))),
        ("events-get", "event", str(stored[0].sequence), "99999999"),
        ("run-get", "run", f"{SECRET}-run", "nowhere-run-x"),
        ("run-logs", "run", f"{SECRET}-run", "nowhere-run-x"),
        ("evidence-get", "run", f"{SECRET}-run", "nowhere-run-x"),
    ):
        one, other = [await ask(server, OWN, name, {field: each}) for each in (existing, invented)]
        assert one.replace(existing.encode(), b"X") == other.replace(invented.encode(), b"X"), name


async def test_the_platforms_own_events_are_nobodys(server: QueryServer, stored: list[StoredEvent]) -> None:
    assert stored
    for tenant in (OWN, OTHER):
        answer = await ask(server, tenant, "events-list", {"kind": "Executor"})
        assert SYSTEM_TENANT.encode() not in answer
        assert json.loads(answer)["ok"]["events"] == []
