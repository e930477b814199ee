"""Verification: a true story passes all steps, and every defect is named by the step that is there for it."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentplane.evidence.export import Export, select_attempt
from agentplane.evidence.journal import Head
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.record import About
from agentplane.evidence.statement import Link, RunRef
from agentplane.evidence.verify import STEPS, VerifyReport, verify_export
from agentplane.ids import Digest
from agentplane.runs.model import Expected, GuestPin, Input, StorePath
from agentplane.runs.states import Outcome
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import (
    BUNDLE,
    EXPECTED,
    FINISHED,
    NOW,
    PINS,
    Story,
    as_export,
    contents_of,
    decision,
    fact,
    forge,
    with_manifest,
)

KEYS = Story().keys()
ELSEWHERE = StorePath(path="/nix/store/1-source", nar_hash="sha256:1")
GUEST = GuestPin(spec=StorePath(path="/nix/store/0-guest", nar_hash="sha256:0"), kernel="/nix/store/0-k", qemu="7.2.0")
DIVERGED = replace(FINISHED, exit_code=3, succeeded=False)
TIMED_OUT = replace(FINISHED, outcome=Outcome.TIMEOUT, exit_code=-1, succeeded=False)


def check(contents: dict[str, bytes], trusted: TrustedKeys = KEYS) -> VerifyReport:
    return verify_export(as_export(contents), trusted, NOW)


def failed_steps(report: VerifyReport) -> list[str]:
    return [step.name for step in report.steps if step.status == "fail"]


@pytest.mark.parametrize(
    "story",
    [
        Story(),
        Story(valid=False),
        Story(finished=DIVERGED),
        Story(finished=TIMED_OUT),
        Story(expected=EXPECTED),
        Story(expected=EXPECTED, finished=DIVERGED),
        Story(expected=EXPECTED, guest=GUEST, replay_guest=GUEST),
        Story(executor_head=Head(journal="executor/exec-1", index=41, digest=Digest("sha256:" + "12" * 32))),
    ],
    ids=[
        "success",
        "refused",
        "failure",
        "timeout",
        "replay",
        "diverged replay",
        "the same guest",
        "a journal of many runs",
    ],
)
def test_a_true_story_passes_every_step(story: Story) -> None:
    report = check(story.contents())
    assert [(step.name, step.status.value, step.detail) for step in report.steps if not step.ok] == []
    assert report.verified
    assert [step.number for step in report.steps] == list(range(1, len(STEPS) + 1))


def test_the_report_says_what_it_is_about() -> None:
    about = check(Story().contents()).about
    assert about is not None
    assert (about.tenant, about.run, about.epoch, about.bundle) == ("acme", "hello-0001", 1, "hello@1.0.0")


def test_a_run_that_was_placed_again_passes() -> None:
    """The decision of epoch 2 is record 3 of control's journal, after one of which this export knows nothing."""

    def later(kind: str, link: Link) -> Link:
        unseen = "sha256:" + "77" * 32
        if kind == "PlacementDecision":
            return Link(journal=link.journal, index=3, previous=unseen, run_previous=unseen)
        return link

    story = Story(run=RunRef(tenant="acme", name="hello-0001", epoch=2), relink=later)
    story.edits = {kind: lambda artifact: {**artifact, "epoch": 2} for kind in ("RunStarted", "RunFinished")}
    assert check(story.contents()).verified


def test_evidence_of_other_attempts_is_left_out_of_an_export() -> None:
    records = Story().records()
    stray = forge(
        {"kind": "RunArtifact"},
        About(run=RunRef(tenant="acme", name="hello-0001", epoch=1), bundle="b@1", bundle_digest="sha256:" + "00" * 32),
        records[-1].statement.predicate.chain,
        signer_for("executor/exec-1"),
    )
    assert select_attempt([*records, stray]) == tuple(records)


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


Contents = dict[str, bytes]


def lines(contents: Contents, change: Callable[[list[bytes]], list[bytes]]) -> Contents:
    records = contents["evidence.jsonl"].split(b"\n")[:-1]
    return {**contents, "evidence.jsonl": b"".join(line + b"\n" for line in change(records))}


def without(contents: Contents, *paths: str) -> Contents:
    return {path: data for path, data in contents.items() if path not in paths}


OTHER_RUN = Story(run=RunRef(tenant="acme", name="hello-0002", epoch=1)).contents()
MALLORY = signer_for("control", seed=66)
# defect -> (what happens to a true export afterwards, the steps that must name it)
LATER_DEFECTS: dict[str, tuple[Callable[[Contents], Contents], set[str]]] = {
    "no evidence file": (lambda c: without(c, "evidence.jsonl"), {"layout"}),
    "no bundle": (lambda c: without(c, "bundle.json"), {"layout"}),
    "no manifest": (lambda c: without(c, "manifest.json"), {"layout"}),
    "empty evidence file": (lambda c: {**c, "evidence.jsonl": b""}, {"envelopes"}),
    "torn last line": (lambda c: {**c, "evidence.jsonl": c["evidence.jsonl"][:-1]}, {"envelopes"}),
    "an empty line": (lambda c: lines(c, lambda r: [*r, b""]), {"envelopes"}),
    "an envelope spelled otherwise": (
        lambda c: lines(c, lambda r: [r[0].replace(b'":"', b'": "', 1), *r[1:]]),
        {"envelopes"},
    ),
    "first record dropped": (lambda c: lines(c, lambda r: r[1:]), {"chain", "seal"}),
    "middle record dropped": (lambda c: lines(c, lambda r: [*r[:4], *r[5:]]), {"chain", "seal"}),
    "last record dropped": (lambda c: lines(c, lambda r: r[:-1]), {"seal"}),
    "records reordered": (lambda c: lines(c, lambda r: [*r[:4], r[5], r[4], *r[6:]]), {"chain", "seal"}),
    "record repeated": (lambda c: lines(c, lambda r: [*r[:5], r[4], *r[5:]]), {"chain", "seal"}),
    "record swapped with another run's": (
        lambda c: lines(c, lambda r: [*r[:5], OTHER_RUN["evidence.jsonl"].split(b"\n")[5], *r[6:]]),
        {"run", "chain", "seal"},
    ),
    "whole evidence swapped with another run's": (
        lambda c: {**c, "evidence.jsonl": OTHER_RUN["evidence.jsonl"]},
        {"documents", "manifest"},
    ),
    "truncated to the validation": (lambda c: lines(c, lambda r: r[:1]), {"seal"}),
    "artifact changed": (lambda c: {**c, "artifacts/report.json": b'{"licenses":4}'}, {"artifacts"}),
    "artifact missing": (lambda c: without(c, "artifacts/logs/smoke.txt"), {"artifacts"}),
    "artifact added": (lambda c: {**c, "artifacts/extra.txt": b"hi"}, {"artifacts"}),
    "document changed": (
        lambda c: {**c, "artifacts/run-artifact.json": c["artifacts/run-artifact.json"] + b"\n"},
        {"documents", "artifacts"},
    ),
    "document missing": (lambda c: without(c, "artifacts/run-artifact.json"), {"documents"}),
    "seal document changed": (lambda c: {**c, "artifacts/run-seal.json": b"{}"}, {"documents"}),
    "bundle changed": (
        lambda c: {**c, "bundle.json": c["bundle.json"].replace(b'"maxRunSeconds":60', b'"maxRunSeconds":61')},
        {"bundle"},
    ),
    "bundle spelled otherwise": (lambda c: {**c, "bundle.json": json.dumps(BUNDLE).encode()}, {"bundle"}),
    "no pins": (lambda c: without(c, "pins.json"), {"pins"}),
    "pins changed": (lambda c: {**c, "pins.json": c["pins.json"].replace(b'"seed":"0"', b'"seed":"1"')}, {"pins"}),
    "pins spelled otherwise": (lambda c: {**c, "pins.json": c["pins.json"] + b"\n"}, {"pins"}),
    "pins that are none": (lambda c: {**c, "pins.json": b"{}"}, {"pins"}),
    "pins with a field more": (lambda c: {**c, "pins.json": c["pins.json"][:-1] + b',"z":1}'}, {"pins"}),
    "bundle that is no object": (lambda c: {**c, "bundle.json": b"[]"}, {"bundle"}),
    "bundle that is no text": (lambda c: {**c, "bundle.json": b'"\xff"'}, {"bundle"}),
    "key replaced": (
        lambda c: {**c, "keys/control.pub": contents_of_mallory()["keys/control.pub"]},
        {"keys"},
    ),
    "key added": (lambda c: {**c, "keys/executors/exec-9.pub": c["keys/control.pub"]}, {"keys"}),
    "key missing": (lambda c: without(c, "keys/control.pub"), {"keys"}),
    "file that belongs nowhere": (lambda c: {**c, "README.txt": b"trust me"}, {"manifest"}),
    "manifest changed": (
        lambda c: {**c, "manifest.json": c["manifest.json"].replace(b'"epoch":1', b'"epoch":2')},
        {"manifest"},
    ),
}


def contents_of_mallory() -> Contents:
    return Story(control=MALLORY).contents()


@pytest.mark.parametrize("careful", [False, True], ids=["", "with a new manifest"])
@pytest.mark.parametrize("defect", LATER_DEFECTS)
def test_what_was_changed_later_is_named(defect: str, careful: bool) -> None:
    change, steps = LATER_DEFECTS[defect]
    contents = change(Story().contents())
    if careful and "manifest" not in steps and "layout" not in steps:
        contents = with_manifest(contents, Story().records())
    report = check(contents)
    assert not report.verified
    assert steps <= set(failed_steps(report)), [(step.name, step.detail) for step in report.steps]


def test_a_whole_export_by_somebody_else_is_not_believed() -> None:
    report = check(contents_of_mallory())
    assert failed_steps(report) == ["signatures"]
    assert report.steps[2].code == "evidence.untrusted-key"


def test_pins_beside_a_refusal_are_noticed() -> None:
    refused = Story(valid=False)
    contents = {**refused.contents(), "pins.json": Story().contents()["pins.json"]}
    assert failed_steps(check(with_manifest(contents, refused.records()))) == ["pins"]


def test_a_failure_in_the_foundation_leaves_the_rest_unchecked() -> None:
    report = check(without(Story().contents(), "evidence.jsonl"))
    assert {step.status.value for step in report.steps[1:]} == {"skip"}
    assert report.about is None
    assert "step 1 (layout)" in report.verdict


def test_strange_entries_are_refused() -> None:
    export = as_export(Story().contents())
    fields = {name: getattr(export, name) for name in export.__struct_fields__}
    report = verify_export(Export(**{**fields, "strange": ("'artifacts/link'",)}), KEYS, NOW)
    assert failed_steps(report) == ["layout"]


# Three exports: a refused run, the least that a finished run can be, and a replay with everything in it.
REFUSED = Story(valid=False).contents()
LEAST = Story(
    finished=replace(FINISHED, artifacts=()),
    guest_files={},
    omit=frozenset({"RunStarted", "PlacementReceipt", "ReplayArtifact"}),
).contents()
WHOLE = Story(expected=Expected(run="x", outcome=Outcome.EXITED, exit_code=1, artifacts=())).contents()


def test_the_exports_that_are_mutated_below_verify_as_they_are() -> None:
    assert [check(contents).verdict for contents in (REFUSED, LEAST, WHOLE)] == ["verified"] * 3


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_every_flipped_bit_of_a_refused_run_is_noticed(path: str) -> None:
    for position in range(len(REFUSED[path])):
        for bit in range(8):
            assert not check(flipped(REFUSED, path, position, 1 << bit)).verified, (position, bit)


@pytest.mark.parametrize("path", sorted(LEAST))
def test_every_flipped_byte_of_a_finished_run_is_noticed(path: str) -> None:
    for position in range(len(LEAST[path])):
        assert not check(flipped(LEAST, path, position, 0x01)).verified, position


def flipped(contents: Contents, path: str, position: int, mask: int) -> Contents:
    changed = bytearray(contents[path])
    changed[position] ^= mask
    return {**contents, path: bytes(changed)}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_mutation_of_any_file_verifies(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(WHOLE)))
    original = WHOLE[path]
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(len(original), start + 40)))
    new = data.draw(st.binary(max_size=8) | st.sampled_from([original[:20], original[-20:]]))
    mutated = original[:start] + new + original[end:]
    assert check({**WHOLE, path: mutated}).verified == (mutated == original)


@given(order=st.permutations(range(WHOLE["evidence.jsonl"].count(b"\n"))), keep=st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_no_other_selection_of_records_verifies(order: list[int], keep: int) -> None:
    chosen = order[:keep]
    contents = lines(WHOLE, lambda records: [records[number] for number in chosen])
    assert check(contents).verified == (chosen == list(range(WHOLE["evidence.jsonl"].count(b"\n"))))
    assert check(WHOLE).verified


def test_contents_of_is_what_the_product_writes() -> None:
    story = Story()
    assert contents_of(story.records(), story.guest_files, story.keys(), story.pinned).keys() == {
        "evidence.jsonl",
        "bundle.json",
        "pins.json",
        "manifest.json",
        "keys/control.pub",
        "keys/executors/exec-1.pub",
        *(
            f"artifacts/{name}"
            for name in (
                "report.json",
                "logs/smoke.txt",
                "validation-artifact.json",
                "placement-decision.json",
                "placement-receipt.json",
                "run-artifact.json",
                "replay-artifact.json",
                "run-seal.json",
            )
        ),
    }


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
