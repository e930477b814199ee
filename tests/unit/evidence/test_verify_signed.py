"""Verification: what was signed wrongly is named by the step that is there for it, and nothing signed crashes it."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentplane.evidence.statement import RunRef
from agentplane.runs.model import Input
from tests.unit.evidence.checking import (
    DIVERGED,
    ELSEWHERE,
    GUEST,
    KEYS,
    TIMED_OUT,
    check,
    failed_steps,
)
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import EXPECTED, FINISHED, PINS, Story, decision, fact


def spoil(kind: str, **changes: Any) -> Story:
    return Story(edits={kind: lambda artifact: {**artifact, **changes}})


def about_other(kind: str, **changes: Any) -> Story:
    return Story(reabout=lambda said, about: replace(about, **changes) if said == kind else about)


def linked(kind: str, **changes: Any) -> Story:
    return Story(relink=lambda said, link: replace(link, **changes) if said == kind else link)


def pinned_as(**changes: Any) -> Story:
    return Story(pinning=replace(Story().pinned, pins=replace(PINS, **changes)))


def replace_story(story: Story, **changes: Any) -> Story:
    return dataclasses.replace(story, **changes)


OTHER = "sha256:" + "ee" * 32
LATE = RunRef(tenant="acme", name="hello-0001", epoch=2)
FOREIGN = RunRef(tenant="evil", name="hello-0001", epoch=1)
# defect -> (the story that has it, the steps that must name it)
SIGNED_DEFECTS: dict[str, tuple[Story, set[str]]] = {
    "executor signs the decision": (Story(control=signer_for("executor/exec-2")), {"authority"}),
    "control signs the report": (Story(executor=signer_for("control")), {"authority"}),
    "run artifact without status": (spoil("RunArtifact", status=None), {"schemas"}),
    "lane that the schema does not know": (spoil("RunArtifact", lane="moon"), {"schemas"}),
    "report with a field too many": (spoil("RunFinished", surprise=1), {"schemas"}),
    "statement about another bundle digest": (about_other("RunArtifact", bundle_digest=OTHER), {"bundle"}),
    "statement about another bundle name": (about_other("RunArtifact", bundle="hello@9.9.9"), {"bundle"}),
    "artifact about another bundle": (spoil("RunArtifact", bundle="hello@9.9.9"), {"bundle"}),
    "statement of another epoch": (about_other("RunArtifact", run=LATE), {"run"}),
    "statement of another tenant": (about_other("RunArtifact", run=FOREIGN), {"run"}),
    "decision of another epoch": (about_other("PlacementDecision", run=LATE), {"run"}),
    "link to another past of the run": (linked("RunArtifact", run_previous=OTHER), {"chain"}),
    "link to another past of the journal": (linked("RunArtifact", previous=OTHER), {"chain"}),
    "journal that turns back": (linked("RunArtifact", index=2), {"chain"}),
    "first statement that follows something": (linked("ValidationArtifact", run_previous=OTHER), {"chain"}),
    "gap in the control journal of a first placement": (
        linked("PlacementDecision", index=3, run_previous=OTHER),
        {"chain"},
    ),
    "ran although invalid": (spoil("ValidationArtifact", valid=False), {"placement"}),
    "another executor was chosen": (Story(decided=decision("exec-2")), {"placement"}),
    "artifact names another executor": (spoil("RunArtifact", executor="exec-2"), {"placement"}),
    "receipt of another key": (spoil("PlacementReceipt", signedBy="UNSET"), {"placement"}),
    "receipt for another decision": (
        Story(edits={"PlacementReceipt": lambda a: {**a, "decision": {**a["decision"], "chosenSite": "exec-2"}}}),
        {"placement"},
    ),
    "decision about other pins": (spoil("PlacementDecision", caps={"pinsDigest": OTHER}), {"pins"}),
    "decision about no pins": (spoil("PlacementDecision", caps={}), {"pins"}),
    "pins of another bundle": (pinned_as(bundle="hello@9.9.9"), {"pins"}),
    "pins of another bundle document": (pinned_as(bundle_digest=OTHER), {"pins"}),
    "pins with another time limit than the bundle's": (pinned_as(max_run_seconds=61), {"pins"}),
    "pins that forgive a timeout": (pinned_as(fail_on_timeout=False), {"pins"}),
    "pins with another backend than the decision": (pinned_as(backend_intent="qemu"), {"pins"}),
    "pins with another source than the replay artifact": (pinned_as(source=ELSEWHERE), {"pins"}),
    "pins with another input than the replay artifact": (
        pinned_as(inputs=(Input(name="t", tree=ELSEWHERE),)),
        {"pins"},
    ),
    "pins with another lane than the run artifact": (
        replace_story(pinned_as(lane="prod"), omit=frozenset({"ReplayArtifact"})),
        {"pins"},
    ),
    "receipt for another backend": (
        Story(edits={"PlacementReceipt": lambda a: {**a, "decision": {**a["decision"], "backend": "process"}}}),
        {"pins"},
    ),
    "timeout after another limit": (
        Story(finished=TIMED_OUT, edits={"TimeoutArtifact": lambda a: {**a, "maxRunSeconds": 3600}}),
        {"pins"},
    ),
    "replay artifact with another seed": (
        Story(edits={"ReplayArtifact": lambda a: {**a, "pins": {**a["pins"], "seed": "1"}}}),
        {"pins"},
    ),
    "replay artifact with another guest than started": (
        Story(guest=GUEST, edits={"ReplayArtifact": lambda a: {**a, "guest": None}}),
        {"pins"},
    ),
    "replay in another guest than the original's": (
        Story(expected=EXPECTED, guest=GUEST, replay_guest=replace(GUEST, spec=ELSEWHERE)),
        {"pins"},
    ),
    "replay that nobody expected": (Story(expected=EXPECTED, pinning=Story().pinned), {"pins"}),
    "run that was to be a replay": (Story(pinning=Story(expected=EXPECTED).pinned), {"pins"}),
    "replay compared with another run": (
        Story(expected=EXPECTED, pinning=Story(expected=replace(EXPECTED, run="hello-9999")).pinned),
        {"pins"},
    ),
    "match that is none": (
        Story(
            expected=replace(EXPECTED, exit_code=3),
            edits={
                "RunFinished": lambda a: {**a, "replay": {**a["replay"], "match": True, "differences": []}},
                "PostconditionArtifact": lambda a: {**a, "comparisonResult": "MATCH"},
            },
            omit=frozenset({"DivergenceArtifact"}),
        ),
        {"pins"},
    ),
    "seal without a statement": (
        Story(edits={"RunSeal": lambda a: {**a, "statements": a["statements"][:-1], "count": a["count"] - 1}}),
        {"seal"},
    ),
    "seal in another order": (Story(edits={"RunSeal": lambda a: {**a, "statements": a["statements"][::-1]}}), {"seal"}),
    "final report with a field more about a file": (
        Story(edits={"RunFinished": lambda a: {**a, "artifacts": [{**each, "z": 1} for each in a["artifacts"]]}}),
        {"schemas"},
    ),
    "seal with a wrong count": (spoil("RunSeal", count=99), {"seal"}),
    "seal of another run": (spoil("RunSeal", run="hello-0002"), {"seal"}),
    "no seal": (Story(omit=frozenset({"RunSeal"})), {"seal", "artifacts"}),
    "no run artifact": (Story(omit=frozenset({"RunArtifact"})), {"seal", "outcome"}),
    "seal without a file": (
        Story(edits={"RunSeal": lambda a: {**a, "files": [f for f in a["files"] if f["path"] != "report.json"]}}),
        {"artifacts"},
    ),
    "seal with a file twice": (
        Story(edits={"RunSeal": lambda a: {**a, "files": [*a["files"], a["files"][-1]]}}),
        {"artifacts"},
    ),
    "report without a file": (Story(finished=replace(FINISHED, artifacts=FINISHED.artifacts[:1])), {"artifacts"}),
    "statement about a file that is not sealed": (
        Story(files_of={"RunArtifact": (fact("ghost.txt", b"boo"),)}),
        {"artifacts"},
    ),
    "success with exit code 3": (Story(finished=replace(FINISHED, exit_code=3)), {"outcome"}),
    "success by timeout that must fail": (Story(finished=replace(TIMED_OUT, succeeded=True)), {"outcome"}),
    "run artifact tells another exit code": (spoil("RunArtifact", exitCode=1), {"outcome"}),
    "run artifact tells another status": (spoil("RunArtifact", status="failure"), {"outcome"}),
    "timeout without its artifact": (
        Story(finished=TIMED_OUT, omit=frozenset({"TimeoutArtifact"})),
        {"outcome"},
    ),
    "replay without postcondition": (Story(expected=EXPECTED, omit=frozenset({"PostconditionArtifact"})), {"outcome"}),
    "divergence kept quiet": (
        Story(expected=EXPECTED, finished=DIVERGED, omit=frozenset({"DivergenceArtifact"})),
        {"outcome"},
    ),
    "postcondition says match, verdict says no": (
        Story(
            expected=EXPECTED,
            finished=DIVERGED,
            edits={"PostconditionArtifact": lambda a: {**a, "comparisonResult": "MATCH"}},
        ),
        {"outcome"},
    ),
    "dated in the future": (spoil("RunArtifact", capturedAt="2026-02-01T12:00:00Z"), {"times"}),
    "dated before what it follows": (spoil("RunArtifact", capturedAt="2026-01-31T11:00:00Z"), {"times"}),
    "dated with no time": (spoil("RunArtifact", capturedAt="noon"), {"schemas"}),
}


@pytest.mark.parametrize("defect", SIGNED_DEFECTS)
def test_what_was_signed_wrongly_is_named(defect: str) -> None:
    story, steps = SIGNED_DEFECTS[defect]
    report = check(story.contents(), trusted=story.keys() if "signs" not in defect else KEYS)
    assert not report.verified
    assert steps <= set(failed_steps(report)), [(step.name, step.detail) for step in report.steps]


KINDS = [
    "ValidationArtifact",
    "PlacementDecision",
    "PlacementReceipt",
    "RunStarted",
    "RunFinished",
    "RunArtifact",
    "RunSeal",
]
VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**53 - 1)
    | st.text(max_size=5)
    | st.just([])
    | st.just({})
    | st.just([1])
)


@given(kind=st.sampled_from(KINDS), data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_a_trusted_key_signs_verification_answers(kind: str, data: st.DataObject) -> None:
    """An executor or a control plane that was taken over may sign anything; it must not crash its auditors."""

    def edit(artifact: dict[str, Any]) -> dict[str, Any]:
        field = data.draw(st.sampled_from([name for name in sorted(artifact) if name != "kind"]))
        return {**artifact, field: data.draw(VALUES)}

    report = check(Story(edits={kind: edit}).contents())
    assert report.verdict


@given(
    bundle=st.binary(max_size=20)
    | st.sampled_from([b"{}", b"null", b'{"spec":1}', b'{"spec":{"policy":[]}}', b"[" * 9999])
)
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_for_the_bundle_verification_answers(bundle: bytes) -> None:
    contents = Story(finished=replace(TIMED_OUT, succeeded=True)).contents()
    assert not check({**contents, "bundle.json": bundle}).verified
