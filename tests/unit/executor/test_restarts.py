"""A crash at any point, a restart, a full disk: they cost time, and change nothing that is claimed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentplane.evidence.record import Record
from services.executor import durable
from services.executor.ledger import Ledger
from services.executor.runstate import Stage
from services.executor.statedir import AttemptDirectory
from tests.unit.executor.attempts import (
    COMPLETE,
    REPORT,
    ROOM,
    Start,
    artifact,
    kinds,
    out_dir,
    reply,
    run_to_seal,
    stage,
    start,
)
from tests.unit.executor.samples import assignment
from tests.unit.executor.scripted import Crash, Daemon, ScriptedHost, ending

__all__ = ["start"]


def summary(records: list[Record]) -> list[dict[str, Any]]:
    """What was claimed, without the one thing that depends on how long something took."""
    claims = []
    for record in records:
        claim = dict(record.statement.predicate.artifact)
        claim.pop("timingsMs", None)
        if record.statement.kind == "RunSeal":
            claim["statements"] = [line["kind"] for line in claim["statements"]]
        claims.append(claim)
    return claims


async def undisturbed(tmp_path: Path) -> list[dict[str, Any]]:
    host = ScriptedHost(ending(), REPORT)
    daemon = Daemon(tmp_path / "state", host)
    records = await run_to_seal(daemon, assignment())
    await daemon.stop()
    host.dispose()
    (tmp_path / "state").rename(tmp_path / "undisturbed")
    return summary(records)


def crash_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int) -> None:
    """The process dies right after the `count`-th call of a method has done its work."""
    original = getattr(owner, name)
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        result = original(*args, **kwargs)
        calls += 1
        if calls == count:
            raise Crash
        return result

    monkeypatch.setattr(owner, name, dying)


def crash_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int) -> None:
    """The process dies just before the `count`-th call of a method does anything."""
    original = getattr(owner, name)
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            raise Crash
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, dying)


POINTS = [
    *[(crash, AttemptDirectory, "save", number) for crash in (crash_before, crash_after) for number in range(2, 7)],
    *[(crash, Ledger, "_issue", number) for crash in (crash_before, crash_after) for number in range(1, 7)],
    *[(crash, durable, "write_file", number) for crash in (crash_before, crash_after) for number in (8, 10, 12, 14)],
    (crash_before, ScriptedHost, "launch", 1),
    (crash_after, ScriptedHost, "launch", 1),
    (crash_after, ScriptedHost, "prepare", 1),
]


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_at_any_point_changes_nothing_that_is_claimed_and_nothing_runs_twice(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: tuple[Callable[[pytest.MonkeyPatch, Any, str, int], None], Any, str, int],
) -> None:
    crash, owner, name, count = point
    wanted = await undisturbed(tmp_path)
    host = ScriptedHost(ending(), REPORT)
    with monkeypatch.context() as patch:
        crash(patch, owner, name, count)
        daemon = start(host)
        daemon.attempts.apply(reply(assignment()), ROOM)
        await daemon.crashed()
        daemon.kill()
    again = start(host)
    again.attempts.apply(None, ROOM)
    again.attempts.apply(reply(assignment()), ROOM)
    await again.until(lambda: stage(again) is Stage.SEALED)
    assert summary(list(again.journal.attempt("acme", "demo-1", 1))) == wanted
    assert len(host.launches) == 1
    names = {path.name for path in out_dir(again).iterdir()}
    assert "run-seal.json" in names
    assert not any(file.startswith(".") for file in names)


async def test_a_running_guest_is_adopted_before_control_is_heard(start: Start) -> None:
    host = ScriptedHost(None, REPORT)
    first = start(host)
    first.attempts.apply(reply(assignment()), ROOM)
    await first.until(lambda: bool(host.running))
    await first.stop()
    (execution,) = host.running.values()
    assert execution.killed is None
    second = start(host)
    second.attempts.apply(None, ROOM)
    execution.end(ending())
    await second.until(lambda: stage(second) is Stage.SEALED)
    assert len(host.launches) == 1


async def test_what_was_not_launched_before_a_restart_waits_for_controls_word(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ScriptedHost(ending())
    with monkeypatch.context() as patch:
        crash_before(patch, ScriptedHost, "launch", 1)
        first = start(host)
        first.attempts.apply(reply(assignment()), ROOM)
        await first.crashed()
        first.kill()
    second = start(host)
    second.attempts.apply(None, ROOM)
    for _ in range(2):  # control has given the run away meanwhile
        second.attempts.apply(reply(), ROOM)
    await second.until(lambda: stage(second) is Stage.SEALED)
    assert host.launches == []
    assert artifact(list(second.journal.read()), "RunFinished")["outcome"] == "cancelled"


async def test_a_full_disk_only_delays(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    host = ScriptedHost(ending(), REPORT)
    daemon = start(host)
    real, failures = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal failures
        failures += 1
        if 8 <= failures <= 12:
            raise OSError(28, "No space left on device")
        real(descriptor)

    async def no_pause(seconds: float) -> None:
        del seconds

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("services.executor.lifecycle.pause", no_pause)
    records = await run_to_seal(daemon, assignment())
    assert failures > 12
    assert kinds(records) == COMPLETE
