"""Compare a replay with its original: outcome, exit code and every file, by digest. Pure.

Nothing is forgiven: a missing file, a file more and a byte different all diverge. A replay that could not be carried
out (the guest did not build, the host failed) is neither match nor mismatch, and counts as no match.
"""

from enum import StrEnum
from typing import Final

import msgspec

from agentplane.runs.model import ArtifactFact, Expected, ReplayVerdict, RunFinished
from agentplane.runs.states import Outcome

MAX_DIFFERENCES: Final = 100  # named in the verdict, which must fit into a report; the artifacts tell the rest
# Ends that are about the host or a person, not about the workload.
NOT_CARRIED_OUT: Final = frozenset({Outcome.LOST, Outcome.BUILD_FAILED, Outcome.HOST_FAILED, Outcome.CANCELLED})


class Divergence(StrEnum):
    """In which way a replay differs. Source: divergenceClass of the seeds' divergence-artifact schema."""

    EXECUTION_FAILURE = "EXECUTION_FAILURE"  # it ended otherwise
    STATE_MISMATCH = "STATE_MISMATCH"  # a file has other content
    SIDE_EFFECT_MISMATCH = "SIDE_EFFECT_MISMATCH"  # a file more or less


class Result(StrEnum):
    """How a comparison came out. Source: comparisonResult of the seeds' postcondition-artifact schema."""

    MATCH = "MATCH"
    PARTIAL_MISMATCH = "PARTIAL_MISMATCH"  # it ended as expected, with other files
    FAIL = "FAIL"  # it ended otherwise
    UNKNOWN = "UNKNOWN"  # it was not carried out


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Every condition that was looked at, and the worst kind of difference."""

    result: Result
    divergence: Divergence | None  # None: it matches
    matched: tuple[str, ...]
    failed: tuple[str, ...]


def compare(expected: Expected, finished: RunFinished) -> ReplayVerdict:
    """The verdict that a replay's report carries."""
    comparison = examine(expected, finished)
    differences = comparison.failed[:MAX_DIFFERENCES]
    if more := len(comparison.failed) - len(differences):
        differences = (*differences, f"and {more} more")
    return ReplayVerdict(of=expected.run, match=comparison.result is Result.MATCH, differences=differences)


def examine(expected: Expected, finished: RunFinished) -> Comparison:
    """Look at every condition; words name the file or the number that differs."""
    ends = [
        ("outcome", expected.outcome.value, finished.outcome.value),
        ("exit code", str(expected.exit_code), str(finished.exit_code)),
    ]
    failed_ends = [f"{name}: {was} became {now}" for name, was, now in ends if was != now]
    matched = [f"{name}: {was}" for name, was, now in ends if was == now]
    files = _Files(expected.artifacts, finished.artifacts)
    failed = (*failed_ends, *files.missing, *files.added, *files.changed)
    divergence = _divergence(ended_otherwise=bool(failed_ends), files=files)
    return Comparison(
        result=_result(finished.outcome, expected.outcome, divergence),
        divergence=divergence,
        matched=(*matched, *files.same),
        failed=failed,
    )


class _Files:
    """The files of both, sorted into what happened to them."""

    def __init__(self, expected: tuple[ArtifactFact, ...], found: tuple[ArtifactFact, ...]) -> None:
        was = {fact.path: fact.sha256 for fact in expected}
        now = {fact.path: fact.sha256 for fact in found}
        common = sorted(was.keys() & now.keys())
        self.missing = [f"{path}: missing" for path in sorted(was.keys() - now.keys())]
        self.added = [f"{path}: not there before" for path in sorted(now.keys() - was.keys())]
        self.same = [f"{path}: sha256 {was[path]}" for path in common if was[path] == now[path]]
        self.changed = [f"{path}: sha256 {was[path]} became {now[path]}" for path in common if was[path] != now[path]]


def _divergence(*, ended_otherwise: bool, files: _Files) -> Divergence | None:
    if ended_otherwise:
        return Divergence.EXECUTION_FAILURE
    if files.changed:
        return Divergence.STATE_MISMATCH
    if files.missing or files.added:
        return Divergence.SIDE_EFFECT_MISMATCH
    return None


def _result(outcome: Outcome, expected: Outcome, divergence: Divergence | None) -> Result:
    if divergence is None:
        return Result.MATCH
    if outcome in NOT_CARRIED_OUT and outcome is not expected:
        return Result.UNKNOWN
    return Result.FAIL if divergence is Divergence.EXECUTION_FAILURE else Result.PARTIAL_MISMATCH
