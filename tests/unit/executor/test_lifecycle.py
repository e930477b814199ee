"""An attempt from control's word to its seal: what it leaves however it ends, and what never runs."""

import hashlib
import json
from pathlib import Path

import pytest

from agentplane.errors import Broken, Refused, Tampered, Transient
from agentplane.evidence.seal import read_seal
from agentplane.runs.model import ArtifactFact, Expected
from agentplane.runs.protocol import Cancellation
from agentplane.runs.states import Outcome
from services.executor.reconcile import Room
from services.executor.runstate import Stage
from tests.unit.executor.attempts import (
    COMPLETE,
    KEY,
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
from tests.unit.executor.samples import assignment, statements
from tests.unit.executor.scripted import PIN, ScriptedHost, ending

__all__ = ["start"]


async def test_a_run_leaves_its_files_its_documents_and_a_seal_over_all_of_them(start: Start) -> None:
    daemon = start(ScriptedHost(ending(), REPORT))
    records = await run_to_seal(daemon, assignment())
    assert kinds(records) == COMPLETE
    names = {str(path.relative_to(out_dir(daemon))) for path in out_dir(daemon).rglob("*") if path.is_file()}
    evidence = {"validation-artifact", "placement-decision", "placement-receipt", "run-artifact", "replay-artifact"}
    assert names == {*REPORT, *(f"{name}.json" for name in evidence), "run-seal.json"}
    seal = read_seal(artifact(records, "RunSeal"))
    assert {fact.path for fact in seal.files} == names - {"run-seal.json"}
    for fact in seal.files:
        assert hashlib.sha256((out_dir(daemon) / fact.path).read_bytes()).hexdigest() == fact.sha256
    assert [line.kind for line in seal.statements] == ["ValidationArtifact", "PlacementDecision", *COMPLETE[:-1]]
    finished = artifact(records, "RunFinished")
    assert (finished["succeeded"], finished["outDir"]) == (True, str(out_dir(daemon)))
    assert daemon.state.attempt(KEY).console.read_bytes() == b"hello from the guest\n"


async def test_each_statement_names_the_one_before_it_from_controls_decision_on(start: Start) -> None:
    records = await run_to_seal(start(ScriptedHost(ending())), assignment())
    seal = read_seal(artifact(records, "RunSeal"))
    chain = [line.digest for line in seal.statements]
    assert [record.statement.predicate.chain.run_previous for record in records] == chain[1:]


@pytest.mark.parametrize(("fail_on_timeout", "succeeded"), [(True, False), (False, True)])
async def test_a_timeout_always_has_its_artifact_and_the_bundle_says_what_it_means(
    start: Start, fail_on_timeout: bool, succeeded: bool
) -> None:
    work = assignment(fail_on_timeout=fail_on_timeout)
    records = await run_to_seal(start(ScriptedHost(ending(Outcome.TIMEOUT, -1))), work)
    assert artifact(records, "TimeoutArtifact")["maxRunSeconds"] == 30
    assert artifact(records, "RunFinished")["succeeded"] is succeeded
    assert artifact(records, "RunArtifact")["status"] == ("success" if succeeded else "failure")


async def test_a_guest_that_exits_3_is_a_fact(start: Start) -> None:
    records = await run_to_seal(start(ScriptedHost(ending(exit_code=3))), assignment())
    finished = artifact(records, "RunFinished")
    assert (finished["outcome"], finished["exitCode"], finished["succeeded"]) == ("exited", 3, False)


@pytest.mark.parametrize("name", ["run-artifact.json", "run-seal.json", "../escape", "/etc/passwd"])
async def test_a_guest_that_passes_for_evidence_or_escapes_is_refused_whole(start: Start, name: str) -> None:
    daemon = start(ScriptedHost(ending(), {**REPORT, name: b"{}"}))
    records = await run_to_seal(daemon, assignment())
    finished = artifact(records, "RunFinished")
    assert (finished["outcome"], finished["artifacts"], finished["succeeded"]) == ("result-refused", [], False)
    assert not (out_dir(daemon) / "report.json").exists()
    assert json.loads((out_dir(daemon) / "run-artifact.json").read_text())["status"] == "failure"


async def test_a_build_failure_is_reported_with_the_builders_words_and_nothing_is_started(start: Start) -> None:
    host = ScriptedHost(ending())
    host.refusal = Broken("nix-build ended with status 1\nerror: boom", code="nix.build-failed")
    records = await run_to_seal(start(host), assignment())
    assert "RunStarted" not in kinds(records)
    finished = artifact(records, "RunFinished")
    assert finished["outcome"] == "build-failed"
    assert "boom" in finished["message"]
    assert host.launches == []


def away(code: str = "cache.unreachable") -> Transient:
    return Transient("it cannot be read", code=code, delay_s=0.001)


async def test_a_cache_that_comes_back_in_time_only_delays(start: Start) -> None:
    host = ScriptedHost(ending())
    host.delays = [away(), away("cache.staging"), away("state-dir.full")]
    records = await run_to_seal(start(host), assignment())
    assert artifact(records, "RunFinished")["outcome"] == "exited"


async def test_a_cache_that_stays_away_gives_the_run_back_with_the_reason(start: Start) -> None:
    host = ScriptedHost(ending())
    host.refusal, host.patience_s = away(), 0.0
    finished = artifact(await run_to_seal(start(host), assignment()), "RunFinished")
    assert (finished["outcome"], finished["succeeded"]) == ("cancelled", False)
    assert finished["message"].startswith("cache.unreachable: ")
    assert host.launches == []


@pytest.mark.parametrize("code", ["cache.unsigned", "cache.unknown-key"])
async def test_a_path_that_nobody_we_trust_signed_ends_the_run(start: Start, code: str) -> None:
    host = ScriptedHost(ending())
    host.refusal = Refused("nobody signed it", code=code)
    finished = artifact(await run_to_seal(start(host), assignment()), "RunFinished")
    assert finished["outcome"] == "host-failed"
    assert finished["message"] == f"{code}: nobody signed it"


async def test_a_cache_that_lies_ends_the_run(start: Start) -> None:
    host = ScriptedHost(ending())
    host.refusal = Tampered("it hashes to something else", code="cache.nar-hash")
    finished = artifact(await run_to_seal(start(host), assignment()), "RunFinished")
    assert (finished["outcome"], host.launches) == ("host-failed", [])


async def test_a_forged_assignment_never_runs_and_is_reported(start: Start) -> None:
    host = ScriptedHost(ending())
    records = await run_to_seal(start(host), assignment(signed=statements(executor="exec-2")))
    assert host.launches == []
    assert "RunStarted" not in kinds(records)
    finished = artifact(records, "RunFinished")
    assert (finished["outcome"], finished["succeeded"]) == ("host-failed", False)
    assert finished["message"].startswith("assignment.executor")


async def test_an_assignment_that_cannot_even_be_reported_ends_quietly(start: Start) -> None:
    host = ScriptedHost(ending())
    daemon = start(host)
    assert await run_to_seal(daemon, assignment(bundle_digest="nonsense")) == []
    assert host.launches == []
    assert daemon.state.attempt(KEY).load().seal_index == 0


async def test_a_missing_secret_ends_the_run_before_its_guest_and_names_it(start: Start) -> None:
    host = ScriptedHost(ending())
    work = assignment(secrets=("TOKEN_FILE",), secret_ref_root="secrets://user")
    finished = artifact(await run_to_seal(start(host), work), "RunFinished")
    assert finished["outcome"] == "host-failed"
    assert "secrets://user/TOKEN_FILE" in finished["message"]


async def test_a_secret_reaches_the_runner_and_no_file_of_the_run(start: Start, tmp_path: Path) -> None:
    secret = tmp_path / "state" / "secrets" / "user" / "TOKEN_FILE"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(b"very-secret-value")
    secret.chmod(0o600)
    host = ScriptedHost(ending(), REPORT)
    daemon = start(host)
    await run_to_seal(daemon, assignment(secrets=("TOKEN_FILE",), secret_ref_root="secrets://user"))
    assert host.launches[0][1] == {"TOKEN_FILE": b"very-secret-value"}
    written = [path for part in ("runs", "journal") for path in (daemon.state.path / part).rglob("*") if path.is_file()]
    assert written
    assert not any(b"very-secret-value" in path.read_bytes() for path in written)


async def test_a_guest_that_never_began_is_launched_once_more_under_the_same_epoch(start: Start) -> None:
    host = ScriptedHost(ending(), REPORT)
    stalled = ending(Outcome.HOST_FAILED, -1, started=False, stalled=True)
    host.retries = [stalled]
    records = await run_to_seal(start(host), assignment())
    assert [plan.attempt for plan, _ in host.launches] == [1, 2]
    assert artifact(records, "RunFinished")["succeeded"] is True


async def test_it_is_not_launched_a_third_time(start: Start) -> None:
    host = ScriptedHost(ending(Outcome.HOST_FAILED, -1, started=False, stalled=True))
    records = await run_to_seal(start(host), assignment())
    assert len(host.launches) == 2
    assert artifact(records, "RunFinished")["outcome"] == "host-failed"


async def test_a_cancelled_guest_is_stopped_and_reported(start: Start) -> None:
    host = ScriptedHost(None)
    daemon = start(host)
    daemon.attempts.apply(reply(assignment()), ROOM)
    await daemon.until(lambda: bool(host.running))
    stop = Cancellation(run="demo-1", tenant="acme", epoch=1, reason="a person asked")
    daemon.attempts.apply(reply(cancel=(stop,)), ROOM)
    await daemon.until(lambda: stage(daemon) is Stage.SEALED)
    finished = artifact(list(daemon.journal.read()), "RunFinished")
    assert (finished["outcome"], finished["message"]) == ("cancelled", "a person asked")


async def test_a_draining_host_gives_a_lease_back_at_once(start: Start) -> None:
    host = ScriptedHost(ending())
    daemon = start(host)
    draining = Room(accepting=True, draining=True, slots=8, total=ROOM.total, keep_runs=9)
    daemon.attempts.apply(reply(assignment()), draining)
    await daemon.until(lambda: stage(daemon) is Stage.SEALED)
    finished = artifact(list(daemon.journal.read()), "RunFinished")
    assert (finished["outcome"], finished["message"]) == ("cancelled", "this executor is draining")
    assert host.launches == []


async def test_a_lease_that_control_names_no_more_is_fenced_and_still_reported(start: Start) -> None:
    host = ScriptedHost(None)
    daemon = start(host)
    daemon.attempts.apply(reply(assignment()), ROOM)
    await daemon.until(lambda: bool(host.running))
    (execution,) = host.running.values()
    assert daemon.attempts.apply(reply(), ROOM) is True
    assert execution.killed is None
    daemon.attempts.apply(reply(), ROOM)
    await daemon.until(lambda: stage(daemon) is Stage.SEALED)
    assert str(execution.killed).startswith("fenced")
    assert kinds(list(daemon.journal.read()))[-2:] == ["RunFinished", "RunSeal"]


async def test_a_replay_that_matches_says_so(start: Start) -> None:
    facts = tuple(
        ArtifactFact(path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        for path, data in sorted(REPORT.items())
    )
    expected = Expected(run="demo-0", outcome=Outcome.EXITED, exit_code=0, artifacts=facts)
    work = assignment(replay_guest=PIN, expected=expected)
    records = await run_to_seal(start(ScriptedHost(ending(), REPORT)), work)
    assert artifact(records, "PostconditionArtifact")["comparisonResult"] == "MATCH"
    assert "DivergenceArtifact" not in kinds(records)
    assert artifact(records, "RunFinished")["replay"] == {"of": "demo-0", "match": True, "differences": []}


async def test_a_replay_that_differs_names_what(start: Start) -> None:
    expected = Expected(run="demo-0", outcome=Outcome.EXITED, exit_code=0, artifacts=())
    work = assignment(replay_guest=PIN, expected=expected)
    records = await run_to_seal(start(ScriptedHost(ending(exit_code=3))), work)
    assert artifact(records, "DivergenceArtifact")["divergenceClass"] == "EXECUTION_FAILURE"
    assert artifact(records, "RunFinished")["replay"]["differences"] == ["exit code: 0 became 3"]
