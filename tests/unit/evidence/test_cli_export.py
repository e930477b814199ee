"""From the query service to an export: what the command line asks for and what it makes of the answers."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.cli.evidence import _all_of, _signature, artifacts_here
from agentplane.cli.records import opened
from agentplane.domains.resource import Resource
from agentplane.errors import Refused
from agentplane.events.codec import data_of
from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.evidence.dsse import envelope_value
from agentplane.evidence.export import select_attempt
from agentplane.evidence.export_file import Subject, open_within, read_export, write_export
from agentplane.evidence.record import Record
from agentplane.evidence.verify import verify_export
from agentplane.ids import EventId
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.executors import ExecutorView
from agentplane.projections.run_view import RunSummary, RunView
from agentplane.projections.status import Status
from agentplane.queries.client import QueryClient
from agentplane.queries.server import QueryServer
from agentplane.runs.model import ArtifactFact, RunCreated, RunRequested
from tests.unit.evidence.story import BUNDLE, FINISHED, NOW, PINS, Story
from tests.unit.history.memory_log import MemoryLog

NAME = "hello-0001"
WISH = RunRequested(bundle=BUNDLE, bundle_path="b", source=PINS.source, files=())


def row(number: int, record: Record, *, fenced: bool = False) -> EvidenceRow:
    ref = record.statement.predicate.run
    return EvidenceRow(
        tenant=ref.tenant,
        run=ref.name,
        sequence=number,
        source=record.identity,
        index=record.statement.predicate.chain.index,
        kind=record.statement.kind,
        epoch=ref.epoch,
        fenced=fenced,
        digest=record.digest,
        envelope=envelope_value(record.envelope),
    )


def event(sequence: int, type_name: str, data: dict[str, Any]) -> StoredEvent:
    return StoredEvent(
        event=Event(
            id=EventId(uuid.UUID(int=sequence)),
            stream=StreamId("acme", "Run", "default", NAME),
            phase=Phase.FACT,
            type=type_name,
            actor="user:alice",
            time=NOW,
            correlation_id=uuid.UUID(int=1),
            data=data,
        ),
        sequence=sequence,
        stream_version=sequence,
        recorded_at=NOW,
    )


class MemoryViews:
    """Read models of one run, in memory."""

    def __init__(self, rows: list[EvidenceRow], events: list[StoredEvent], artifacts: tuple[ArtifactFact, ...]) -> None:
        self.rows, self.log = rows, events
        self.view = RunView(tenant="acme", name=NAME, correlation_id="c", artifacts=artifacts, executor="exec-1")

    async def run_names(self, tenant: str, prefix: str, limit: int) -> tuple[str, ...]:
        return (NAME,) if tenant == "acme" and NAME.startswith(prefix) else ()

    async def run(self, tenant: str, name: str) -> RunView | None:
        return self.view

    async def resources(
        self, tenant: str, *, kind: str, namespace: str | None, after: str, limit: int
    ) -> tuple[Resource, ...]:
        return ()

    async def resource(self, tenant: str, kind: str, namespace: str, name: str) -> Resource | None:
        return None

    async def evidence(self, tenant: str, run: str, after: int, limit: int) -> tuple[EvidenceRow, ...]:
        return tuple([each for each in self.rows if each.sequence > after][:limit])

    async def runs(self, *_: object, **__: object) -> tuple[RunSummary, ...]:
        raise NotImplementedError

    async def executors(self, tenant: str) -> tuple[ExecutorView, ...]:
        raise NotImplementedError

    async def position(self, projection: str) -> int:
        raise NotImplementedError

    async def status(self) -> tuple[Status, ...]:
        raise NotImplementedError


async def client_of(views: MemoryViews) -> QueryClient:
    async def rebuild(_: str | None) -> Any:
        raise NotImplementedError

    bus = MemoryBus()
    await QueryServer(bus, views, MemoryLog(views.log), rebuild).start()
    return QueryClient(bus, "acme")


def told(story: Story) -> MemoryViews:
    rows = [row(number, record) for number, record in enumerate(story.records(), start=1)]
    created = RunCreated(
        pins=story.pinned.pins,
        bundle=BUNDLE,
        bundle_path="b",
        author="user:alice",
        validation={},
        expected=story.expected,
    )
    events = [
        event(1, "run.requested", data_of(replace(WISH, bundle={"kind": "Other"}))),
        event(2, "run.created", data_of(created)),
    ]
    return MemoryViews(rows, events, FINISHED.artifacts)


async def test_an_export_made_from_the_query_service_verifies(tmp_path: Path) -> None:
    story = Story()
    for path, data in story.guest_files.items():
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / path).write_bytes(data)
    view, rows, subject = await _all_of(await client_of(told(story)), "hello")
    records = select_attempt([opened(each, story.keys()) for each in rows])
    directory = artifacts_here(view, tmp_path / "out")
    assert directory is not None
    write_export(tmp_path / "export", records, subject, story.keys(), open_within(directory))
    assert verify_export(read_export(tmp_path / "export"), story.keys(), NOW).verified


async def test_the_bundle_of_a_refused_run_is_the_one_that_was_asked_for() -> None:
    views = told(Story(valid=False))
    views.log = [event(1, "run.requested", data_of(WISH))]
    assert (await _all_of(await client_of(views), NAME))[2] == Subject(bundle=BUNDLE)


async def test_a_log_without_the_bundle_is_said() -> None:
    views = told(Story())
    views.log = []
    with pytest.raises(Refused) as caught:
        await _all_of(await client_of(views), NAME)
    assert caught.value.code == "evidence.bundle"


def test_artifacts_on_another_host_are_not_taken_for_here(tmp_path: Path) -> None:
    view = told(Story()).view
    assert artifacts_here(view, None) is None
    assert artifacts_here(replace(view, out_dir="/nowhere"), None) is None
    assert artifacts_here(replace(view, out_dir=str(tmp_path)), None) == tmp_path
    assert artifacts_here(view, tmp_path) == tmp_path


def test_a_row_that_was_changed_in_the_read_model_shows_a_bad_signature() -> None:
    story = Story()
    first, second = story.records()[:2]
    assert _signature(row(1, first), story.keys()) == "good"
    mixed = {**envelope_value(first.envelope), "payload": envelope_value(second.envelope)["payload"]}
    changed = replace(row(1, first), envelope=mixed)
    assert _signature(changed, story.keys()) == "evidence.signature"
