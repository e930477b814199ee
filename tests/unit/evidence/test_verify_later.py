"""Verification: what was changed after the signing is named by the step that is there for it."""

import json
from collections.abc import Callable

import pytest

from agentplane.evidence.statement import RunRef
from tests.unit.evidence.checking import (
    Contents,
    check,
    failed_steps,
    lines,
    without,
)
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import BUNDLE, Story, with_manifest

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
