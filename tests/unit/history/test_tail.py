"""`events tail`, `why` and `replay` at the command line, over a query service without servers."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.cli import context as contexts
from agentplane.cli import events_tail
from agentplane.cli.main import cli
from agentplane.errors import Conflict, NotFound, Transient
from agentplane.events.model import StoredEvent
from agentplane.queries.server import QueryServer
from tests.unit.history.made import made
from tests.unit.history.memory_log import MemoryLog

CONTEXT = contexts.Context(tenant="acme", servers=(), nkey_seed_file=None, trusted_keys_dir="")
Run = Callable[..., list[int]]


class NoViews:
    """Only the log is asked; and how read models do, beside each answer."""

    async def status(self) -> tuple[Any, ...]:
        return ()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog([made(1), *(made(each, each - 1) for each in range(2, 26))], max_page=4)


@pytest.fixture
def outages() -> list[Transient]:
    """What the next connections fail with, the last one first."""
    return []


@pytest.fixture
def run(log: MemoryLog, outages: list[Transient], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`agentplane events …` and the sequences that it printed."""

    @contextlib.asynccontextmanager
    async def connected(_: contexts.Context) -> AsyncIterator[MemoryBus]:
        if outages:
            raise outages.pop()
        bus = MemoryBus()
        await QueryServer(bus, cast("Any", NoViews()), log, cast("Any", None)).start()
        yield bus
        await bus.close()

    monkeypatch.setattr(contexts, "connected", connected)
    monkeypatch.setattr(contexts, "load_context", lambda _: CONTEXT)
    monkeypatch.setattr(events_tail, "_RETRY_S", 0.0)

    def called(*words: str) -> list[int]:
        result = CliRunner().invoke(cli, ["events", *words], catch_exceptions=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return [int(json.loads(line)["sequence"]) for line in result.stdout.splitlines() if line.startswith("{")]

    return called


def test_a_cursor_goes_on_where_it_stopped(run: Run, log: MemoryLog, tmp_path: Path) -> None:
    tail = ["tail", "-o", "jsonl", "--cursor", str(tmp_path / "cursor")]
    assert run(*tail, "-n", "3") == [23, 24, 25]
    assert run(*tail) == []
    log.stored += [made(each) for each in range(26, 40)]
    assert run(*tail) == list(range(26, 40))
    assert run(*tail) == []


def test_a_cursor_moves_past_what_the_filter_leaves_out(run: Run, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    cursor.write_text("0\n")
    assert run("tail", "-o", "jsonl", "--cursor", str(cursor), "--name", "two") == []
    assert cursor.read_text() == "25\n"


def test_whoever_is_killed_before_the_cursor_was_written_prints_that_page_again_and_no_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = ["tail", "-o", "jsonl", "--cursor", str(tmp_path / "cursor")]
    (tmp_path / "cursor").write_text("0\n")
    real, written = events_tail.write_cursor, []

    def dying(path: Path, sequence: int) -> None:
        written.append(sequence)
        if len(written) == 3:
            raise KeyboardInterrupt
        real(path, sequence)

    monkeypatch.setattr(events_tail, "write_cursor", dying)
    with pytest.raises(AssertionError):  # it ended badly
        run(*tail)
    monkeypatch.setattr(events_tail, "write_cursor", real)
    assert written == [4, 8, 12]
    assert run(*tail) == list(range(9, 26))


def test_following_survives_outages(run: Run, outages: list[Transient], tmp_path: Path, monkeypatch: Any) -> None:
    outages += [Transient("away"), Transient("still away")]
    (tmp_path / "cursor").write_text("0\n")
    real = events_tail.write_cursor

    def written(path: Path, sequence: int) -> None:
        real(path, sequence)
        if sequence == 25:
            raise NotFound("the end of this test")

    monkeypatch.setattr(events_tail, "write_cursor", written)
    with pytest.raises(NotFound):
        run("tail", "--follow", "-o", "jsonl", "--cursor", str(tmp_path / "cursor"))
    assert (tmp_path / "cursor").read_text() == "25\n"
    assert outages == []


def test_a_cursor_ahead_of_the_log_is_another_log_s(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cursor").write_text("26\n")
    with pytest.raises(Conflict) as caught:
        run("tail", "--cursor", str(tmp_path / "cursor"))
    assert caught.value.code == "events.cursor-ahead"


def test_list_begins_with_the_last_and_goes_on_where_it_is_told(run: Run) -> None:
    assert run("list", "--limit", "3", "-o", "jsonl") == [23, 24, 25]
    assert run("list", "--limit", "3", "--until", "22", "-o", "jsonl") == [20, 21, 22]
    assert run("list", "--limit", "3", "--after", "5", "-o", "jsonl") == [6, 7, 8]
    assert run("list", "--since", "24", "-o", "cloudevents") == [24, 25]


def test_a_tail_begins_and_ends_where_it_is_told(run: Run, tmp_path: Path) -> None:
    assert run("tail", "--since", "12", "-o", "jsonl") == list(range(12, 26))
    assert run("tail", "--since", "12", "-n", "2", "-o", "jsonl") == [24, 25]
    assert run("tail", "--until", "3", "-o", "jsonl") == [1, 2, 3]
    cursor = tmp_path / "cursor"
    assert run("tail", "--since", "20", "--cursor", str(cursor), "-o", "jsonl") == list(range(20, 26))
    assert run("tail", "--since", "20", "--cursor", str(cursor), "-o", "jsonl") == []
    ends = ["events", "tail", "--until", "3"]
    assert CliRunner().invoke(cli, [*ends, "--follow"]).exit_code == 2
    assert CliRunner().invoke(cli, [*ends, "--cursor", str(cursor)]).exit_code == 2


def test_an_export_has_every_event_once(run: Run, tmp_path: Path) -> None:
    assert run("export") == list(range(1, 26))
    assert run("export", "--since", "4", "--until", "9") == list(range(4, 10))
    run("export", "--format", "plain", "--out", str(tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["data"]["n"] for line in lines] == list(range(1, 26))


def graph(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["events", "why", *words, "-o", "json"], catch_exceptions=False)
    answer = json.loads(result.stdout)
    assert isinstance(answer, dict)
    return answer


def test_why_finds_causes_beyond_the_correlation(run: Run, log: MemoryLog) -> None:
    for index in range(10):
        event = log.stored[index].event
        log.stored[index] = replace(log.stored[index], event=replace(event, correlation_id=made(77).event.id))
    found = graph("20")["events"]
    assert [each["sequence"] for each in found] == list(range(1, 26))
    assert not any(each["dangling"] for each in found)


def test_why_shows_another_tenant_s_cause_as_dangling(run: Run, log: MemoryLog) -> None:
    event = log.stored[9].event
    foreign: StoredEvent = replace(log.stored[9], event=replace(event, stream=replace(event.stream, tenant="rival")))
    log.stored[9] = foreign
    found = graph("20")["events"]
    assert [each["sequence"] for each in found] == list(range(11, 26))
    assert [each["sequence"] for each in found if each["dangling"]] == [11]


def test_a_tenant_of_one_s_own_is_the_only_one(run: Run) -> None:
    assert run("list", "--tenant", "acme", "-o", "jsonl") == [22, 23, 24, 25]
    result = CliRunner().invoke(cli, ["events", "list", "--tenant", "rival"])
    assert getattr(result.exception, "code", None) == "events.tenant"
