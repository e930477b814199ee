"""Replays: nothing that differs is forgiven, and everything that differs is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentplane.replays.compare import NOT_CARRIED_OUT, Divergence, Result, compare, examine
from agentplane.runs.model import ArtifactFact, Expected, RunFinished
from agentplane.runs.states import Outcome
from tests.unit.evidence.story import EXPECTED, FINISHED


def files(**content: str) -> tuple[ArtifactFact, ...]:
    return tuple(ArtifactFact(path=name, sha256=digest * 64, size_bytes=1) for name, digest in content.items())


def was(**changes: Any) -> Expected:
    return replace(EXPECTED, **{"artifacts": files(a="0", b="1"), **changes})


def now(**changes: Any) -> RunFinished:
    return replace(FINISHED, **{"artifacts": files(a="0", b="1"), **changes})


def test_the_same_again_matches() -> None:
    verdict = compare(was(), now())
    assert (verdict.of, verdict.match, verdict.differences) == ("hello-0000", True, ())
    assert examine(was(), now()).matched == (
        "outcome: exited",
        "exit code: 0",
        f"a: sha256 {'0' * 64}",
        f"b: sha256 {'1' * 64}",
    )


def test_a_failure_that_fails_again_the_same_way_matches() -> None:
    assert compare(was(exit_code=3), now(exit_code=3, succeeded=False)).match


@pytest.mark.parametrize(
    ("replayed", "difference", "divergence", "result"),
    [
        (now(exit_code=3), "exit code: 0 became 3", Divergence.EXECUTION_FAILURE, Result.FAIL),
        (now(outcome=Outcome.TIMEOUT), "outcome: exited became timeout", Divergence.EXECUTION_FAILURE, Result.FAIL),
        (now(artifacts=files(a="0")), "b: missing", Divergence.SIDE_EFFECT_MISMATCH, Result.PARTIAL_MISMATCH),
        (
            now(artifacts=files(a="0", b="1", c="2")),
            "c: not there before",
            Divergence.SIDE_EFFECT_MISMATCH,
            Result.PARTIAL_MISMATCH,
        ),
        (
            now(artifacts=files(a="0", b="2")),
            f"b: sha256 {'1' * 64} became {'2' * 64}",
            Divergence.STATE_MISMATCH,
            Result.PARTIAL_MISMATCH,
        ),
    ],
    ids=["exit code", "outcome", "missing", "added", "changed"],
)
def test_a_difference_is_named(replayed: RunFinished, difference: str, divergence: Divergence, result: Result) -> None:
    verdict, comparison = compare(was(), replayed), examine(was(), replayed)
    assert not verdict.match
    assert verdict.differences == (difference,)
    assert (comparison.divergence, comparison.result) == (divergence, result)


@pytest.mark.parametrize("outcome", sorted(NOT_CARRIED_OUT))
def test_a_replay_that_was_not_carried_out_is_no_match_and_no_mismatch(outcome: Outcome) -> None:
    comparison = examine(was(), now(outcome=outcome, exit_code=-1, artifacts=()))
    assert comparison.result is Result.UNKNOWN
    assert not compare(was(), now(outcome=outcome, exit_code=-1, artifacts=())).match


FILES = st.dictionaries(st.sampled_from("abcde"), st.sampled_from("0123"), max_size=5).map(lambda d: files(**d))
ENDS = st.tuples(st.sampled_from(Outcome), st.integers(-1, 3), FILES)


@given(before=ENDS, after=ENDS)
def test_match_means_equal_and_nothing_else(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    expected = was(outcome=before[0], exit_code=before[1], artifacts=before[2])
    finished = now(outcome=after[0], exit_code=after[1], artifacts=after[2])
    same = before[:2] == after[:2] and set(map(str, before[2])) == set(map(str, after[2]))
    verdict = compare(expected, finished)
    assert verdict.match == same
    assert bool(verdict.differences) != same


def test_a_verdict_names_a_hundred_differences_and_counts_the_rest() -> None:
    many = files(**{f"f{number}": "0" for number in range(250)})
    verdict = compare(was(artifacts=many), now(artifacts=()))
    assert len(verdict.differences) == 101
    assert verdict.differences[-1] == "and 150 more"
