"""Steps over what the documents tell: who was to run it, who did, and how it ended. Pure."""

from typing import Any

from agentplane.errors import Tampered
from agentplane.evidence.keys import CONTROL, executor_identity
from agentplane.evidence.steps.case import Case, at, member
from agentplane.runs.model import RunFinished
from agentplane.runs.states import Outcome


def placement(case: Case) -> str:
    """The bundle was valid, and the executor that the decision chose is the one that reports."""
    if case.refused:
        return "refused by validation: nothing was placed"
    if case.artifact("ValidationArtifact").get("valid") is not True:
        raise Tampered("it ran although validation refused it", code="evidence.placement")
    decision = case.artifact("PlacementDecision")
    chosen = decision["chosenExecutor"]
    for number, record in enumerate(case.records):
        if record.identity not in {CONTROL, executor_identity(chosen)}:
            raise Tampered(
                f"{chosen} was chosen, but {record.identity} reports", code="evidence.placement", where=at(number)
            )
        artifact = record.statement.predicate.artifact
        if artifact.get("executor", chosen) != chosen:
            raise Tampered(
                f"{chosen} was chosen, the artifact says {artifact['executor']}",
                code="evidence.placement",
                where=at(number),
            )
    receipt = case.find("PlacementReceipt")
    if receipt is not None:
        _check_receipt(case, receipt, decision)
    return str(chosen)


def outcome(case: Case) -> str:
    """The artifacts tell the same end as the executor's final report, and that end allows its verdict."""
    if case.refused:
        return "refused by validation: nothing ran"
    finished = case.finished
    run = case.artifact("RunArtifact")
    told = (run["status"], run["exitCode"], run.get("outcome", finished.outcome.value))
    if told != ("success" if finished.succeeded else "failure", finished.exit_code, finished.outcome.value):
        raise Tampered("the RunArtifact and the executor's final report tell different ends", code="evidence.outcome")
    if finished.succeeded and not _may_succeed(finished, case.bundle):
        raise Tampered(
            f"it cannot have succeeded: {finished.outcome.value}, exit code {finished.exit_code}",
            code="evidence.outcome",
        )
    _check_companions(case, finished)
    return f"{finished.outcome.value}, exit code {finished.exit_code}, {told[0]}"


def _check_receipt(case: Case, receipt: dict[str, Any], decision: dict[str, Any]) -> None:
    received = receipt["decision"]
    if (received["scheduler"], received["chosenSite"]) != (decision, decision["chosenExecutor"]):
        raise Tampered("the receipt is not for the decision that was made", code="evidence.placement")
    if receipt["signedBy"] not in {record.key_id for record in case.executor_records}:
        raise Tampered("the receipt names another key than the one that signed it", code="evidence.placement")


def _may_succeed(finished: RunFinished, bundle_document: dict[str, Any]) -> bool:
    if finished.outcome is Outcome.TIMEOUT:
        return member(bundle_document, "spec", "policy", "failOnTimeout") is False
    return finished.outcome is Outcome.EXITED and finished.exit_code == 0


def _check_companions(case: Case, finished: RunFinished) -> None:
    """Which other documents an end has to come with."""
    replay = finished.replay
    expected = {
        "TimeoutArtifact": finished.outcome is Outcome.TIMEOUT,
        "PostconditionArtifact": replay is not None,
        "DivergenceArtifact": replay is not None and not replay.match,
    }
    for kind, wanted in expected.items():
        if (case.find(kind) is not None) != wanted:
            raise Tampered(
                f"{'no' if wanted else 'a'} {kind} with the end {finished.outcome.value}", code="evidence.outcome"
            )
    if replay is not None and (case.artifact("PostconditionArtifact")["comparisonResult"] == "MATCH") != replay.match:
        raise Tampered(
            "the PostconditionArtifact and the replay's verdict contradict each other", code="evidence.outcome"
        )
