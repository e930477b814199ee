"""Control's signed key history: what verification makes of keys that came, were superseded, and were revoked."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from agentplane import schemas
from agentplane.canonical import canonical_bytes
from agentplane.evidence.dsse import open_envelope, seal_envelope
from agentplane.evidence.export import key_files
from agentplane.evidence.export_file import Subject, open_within, read_export, write_export
from agentplane.evidence.key_history import (
    KIND,
    Committed,
    ExecutorSpan,
    KeyHistory,
    KeySpan,
    open_history,
    sign_history,
)
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys
from agentplane.evidence.record import Record
from agentplane.evidence.strict import read_canonical
from agentplane.evidence.verify import Step, VerifyReport, verify_export
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import BUNDLE, NOW, PINS, Story, as_export, time, with_manifest

CONTROL = signer_for("control")
FIRST = signer_for("executor/exec-1")
SECOND = signer_for("executor/exec-1", seed=2)
ONLY_CONTROL = TrustedKeys({"control": (CONTROL.public_key,)})
ADMITTED, BEGIN = 7, 100  # events: of the key, and the one before the first statement


def span(signer: Ed25519Signer, **changes: Any) -> KeySpan:
    der = signer.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    known = KeySpan(
        key_id=signer.key_id,
        public_key=base64.b64encode(der).decode(),
        admitted=ADMITTED,
        superseded=None,
        until=None,
    )
    return replace(known, **changes)


def committed(record: Record, number: int) -> Committed:
    return Committed(
        digest=record.digest,
        sequence=BEGIN + number,
        committed_at=time(5),
        executor="exec-1",
        index=number,
        epoch=1,
        fenced=False,
        mark="",
    )


def history(records: list[Record], **changes: Any) -> KeyHistory:
    reported = [record for record in records if record.identity != "control"]
    known = KeyHistory(
        kind=KIND,
        tenant="acme",
        run="hello-0001",
        as_of=500,
        captured_at=time(6),
        executors=(ExecutorSpan(name="exec-1", revoked=None, revoked_at=None, keys=(span(FIRST),)),),
        statements=tuple(committed(record, number) for number, record in enumerate(reported, start=1)),
    )
    return replace(known, **changes)


def executor(*keys: KeySpan, revoked: int | None = None) -> tuple[ExecutorSpan, ...]:
    return (ExecutorSpan(name="exec-1", revoked=revoked, revoked_at=None if revoked is None else time(6), keys=keys),)


def signed(said: KeyHistory, signer: Ed25519Signer = CONTROL) -> bytes:
    return sign_history(said, bundle=PINS.bundle, bundle_digest=PINS.bundle_digest, signer=signer)


def exported(story: Story, envelope: bytes, marked: list[Record] | None = None) -> dict[str, bytes]:
    """The story's files with a history, whatever that is, and a manifest that fits."""
    contents = {**story.contents(), "executor-keys.json": envelope}
    if marked:
        contents["marked.jsonl"] = b"".join(record.envelope + b"\n" for record in marked)
    return with_manifest(contents, story.records())


def check(contents: dict[str, bytes], trusted: TrustedKeys = ONLY_CONTROL, **options: bool) -> VerifyReport:
    return verify_export(as_export(contents), trusted, NOW, **options)


def failed(report: VerifyReport) -> Step:
    (step,) = [step for step in report.steps if step.status == "fail"]
    return step


def test_controls_key_alone_is_enough() -> None:
    story = Story()
    report = check(exported(story, signed(history(story.records()))))
    assert [(step.name, step.detail) for step in report.steps if not step.ok] == []
    assert "committed while their keys counted, up to event 500" in report.steps[-1].detail
    assert report.steps[2].detail.count("on the word of control") == 1
    assert check(story.contents()).steps[2].code == "evidence.untrusted-key"  # without the history it is not


def test_the_predicate_is_valid_against_its_schema() -> None:
    statement = read_canonical(open_envelope(signed(history(Story().records()))).payload)
    assert statement["predicateType"] == "https://agentplane.socioprophet.org/executor-keys/v0.1"
    assert schemas.check("executor-keys.v0.1", statement["predicate"]) == ()
    assert schemas.check("executor-keys.v0.1", {**statement["predicate"], "more": 1}) != ()


def test_an_older_export_verifies_with_a_remark_unless_a_history_is_required() -> None:
    story = Story()
    report = check(story.contents(), story.keys())
    assert report.verified
    assert "no key history" in report.steps[-1].detail
    required = check(story.contents(), story.keys(), need_key_history=True)
    assert failed(required).code == "evidence.key-history"
    refused = Story(valid=False)
    assert check(refused.contents(), ONLY_CONTROL, need_key_history=True).verified  # no executor signed anything


def test_a_key_that_was_superseded_or_revoked_later_counts_for_what_came_before() -> None:
    story = Story()
    keys = (span(FIRST, superseded=BEGIN, until=time(9)), span(SECOND, admitted=BEGIN))
    for executors in (executor(*keys), executor(span(FIRST), revoked=400)):
        assert check(exported(story, signed(history(story.records(), executors=executors)))).verified


# what control says of the key, or of the statements -> the code
BARRED: dict[str, tuple[dict[str, Any], str]] = {
    "revoked before": ({"executors": executor(span(FIRST), revoked=BEGIN)}, "evidence.key-revoked"),
    "superseded before": (
        {"executors": executor(span(FIRST, superseded=50, until=time(5)), span(SECOND))},
        "evidence.key-expired",
    ),
    "admitted later": ({"executors": executor(span(FIRST, admitted=400))}, "evidence.key-early"),
    "another's key": ({"executors": executor(span(SECOND))}, "evidence.key-unknown"),
    "an executor of whom nothing is said": ({"executors": ()}, "evidence.key-unknown"),
    "nothing was committed": ({"statements": ()}, "evidence.uncommitted"),
    "revoked, and nothing was committed": (
        {"statements": (), "executors": executor(span(FIRST), revoked=50)},
        "evidence.key-revoked",
    ),
    "another run": ({"run": "hello-0002"}, "evidence.key-history"),
    "another tenant": ({"tenant": "rival"}, "evidence.key-history"),
}


@pytest.mark.parametrize("what", BARRED)
def test_a_statement_with_a_key_that_did_not_count_fails(what: str) -> None:
    changes, code = BARRED[what]
    story = Story()
    step = failed(check(exported(story, signed(history(story.records(), **changes))), story.keys()))
    assert (step.name, step.code) == ("key-times", code)


@pytest.mark.parametrize(
    ("changes", "code"), [({"mark": "key-revoked"}, "evidence.key-revoked"), ({}, "evidence.fenced")]
)
def test_a_statement_that_was_not_believed_is_no_evidence(changes: dict[str, Any], code: str) -> None:
    story = Story()
    said = history(story.records())
    first = replace(said.statements[0], fenced=True, **changes)
    step = failed(check(exported(story, signed(replace(said, statements=(first, *said.statements[1:]))))))
    assert (step.code, step.detail.startswith("evidence.jsonl line 3")) == (code, True)


def test_a_later_statement_of_a_revoked_key_is_named_with_key_and_event() -> None:
    """Whoever stole the key tells another end of the same run, and has control's genuine history of it."""
    genuine = signed(history(Story().records(), executors=executor(span(FIRST), revoked=400)))
    forged = Story(guest_files={"report.json": b"{}", "logs/smoke.txt": b"all good\n"})
    forged.finished = replace(
        forged.finished,
        artifacts=tuple(
            replace(each, sha256="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", size_bytes=2)
            if each.path == "report.json"
            else each
            for each in forged.finished.artifacts
        ),
    )
    step = failed(check(exported(forged, genuine), forged.keys()))
    assert (step.name, step.code) == ("key-times", "evidence.key-revoked")
    assert FIRST.key_id[:12] in step.detail
    assert "event 400" in step.detail


def test_what_the_verifier_holds_itself_comes_before_the_history() -> None:
    story = Story(executor=SECOND)
    keys = (span(FIRST, superseded=BEGIN, until=time(9)), span(SECOND, admitted=BEGIN))
    contents = exported(story, signed(history(story.records(), executors=executor(*keys))))
    assert check(contents).verified
    held = TrustedKeys({"control": (CONTROL.public_key,), "executor/exec-1": (FIRST.public_key,)})
    assert failed(check(contents, held)).code == "evidence.untrusted-key"


@pytest.mark.parametrize("signer", [FIRST, signer_for("control", seed=9)], ids=["an executor", "a stranger"])
def test_only_control_says_which_keys_count(signer: Ed25519Signer) -> None:
    story = Story()
    step = failed(check(exported(story, signed(history(story.records()), signer)), story.keys()))
    assert (step.name, step.code) in {("signatures", "evidence.signer"), ("signatures", "evidence.untrusted-key")}


def test_every_flipped_byte_of_a_history_is_seen() -> None:
    story = Story()
    envelope = signed(history(story.records()))
    for place in range(0, len(envelope), 97):
        flipped = bytearray(envelope)
        flipped[place] ^= 1
        assert not check(exported(story, bytes(flipped)), story.keys()).verified


@pytest.mark.parametrize(
    "executors",
    [
        executor(span(FIRST, key_id=SECOND.key_id)),
        executor(span(FIRST, public_key="AAAA")),
        executor(span(CONTROL)),
        executor() + executor(),
        executor(span(FIRST)) + tuple(replace(each, name="exec-2") for each in executor(span(FIRST))),
    ],
    ids=["an id of another key", "not a key", "control's own key", "listed twice", "one key of two executors"],
)
def test_keys_that_cannot_be_are_refused(executors: tuple[ExecutorSpan, ...]) -> None:
    story = Story()
    payload = read_canonical(open_envelope(signed(history(story.records()))).payload)
    payload["predicate"]["executors"] = msgspec.to_builtins(executors)
    envelope = seal_envelope(canonical_bytes(payload), CONTROL)
    step = failed(check(exported(story, envelope)))
    assert (step.name, step.code) == ("signatures", "evidence.key-history")


def test_another_statement_of_controls_is_no_history() -> None:
    story = Story()
    placed = next(record for record in story.records() if record.identity == "control")
    assert failed(check(exported(story, placed.envelope), story.keys())).code == "evidence.key-history"


def test_marked_statements_are_shown_and_do_not_spoil_the_genuine_ones() -> None:
    story, late = Story(), Story(edits={"RunArtifact": lambda said: {**said, "stdoutRef": "other.log"}})
    stray = next(record for record in late.records() if record.statement.kind == "RunArtifact")
    said = history(story.records(), executors=executor(span(FIRST), revoked=400))
    mark = replace(committed(stray, 350), fenced=True, mark="key-revoked")
    envelope = signed(replace(said, statements=(*said.statements, mark)))
    report = check(exported(story, envelope, [stray]))
    assert report.verified
    assert "1 of exec-1 kept and not believed (key-revoked)" in report.steps[-1].detail
    left_out = check(exported(story, envelope))
    assert left_out.verified
    assert "1 of them not in this export" in left_out.steps[-1].detail
    twice = check(exported(story, envelope, [stray, stray]))
    assert failed(twice).code == "evidence.marked"


def test_nothing_is_marked_but_by_control() -> None:
    story = Story()
    stray = story.records()[-2]
    assert failed(check(exported(story, signed(history(story.records())), [stray]))).code == "evidence.marked"
    contents = {**story.contents(), "marked.jsonl": stray.envelope + b"\n"}
    assert failed(check(with_manifest(contents, story.records()), story.keys())).code == "evidence.marked"


def test_the_key_that_signed_the_history_is_among_the_exported_ones() -> None:
    """Control's own key may have changed between the run and its export."""
    story, newer = Story(), signer_for("control", seed=3)
    trusted = TrustedKeys({"control": (CONTROL.public_key, newer.public_key)})
    contents = exported(story, signed(history(story.records()), newer))
    assert failed(check(contents, trusted)).name == "keys"
    found = open_history(contents["executor-keys.json"], trusted)
    everybody = TrustedKeys({"control": (CONTROL.public_key, newer.public_key), FIRST.identity: (FIRST.public_key,)})
    kept = {path: data for path, data in contents.items() if not path.startswith("keys/")}
    kept |= key_files(everybody.find(key_id) for key_id in (CONTROL.key_id, found.key_id, FIRST.key_id))
    assert check(with_manifest(kept, story.records()), trusted).verified


def test_a_written_export_holds_history_and_marked_statements(tmp_path: Path) -> None:
    story, late = Story(), Story(edits={"RunArtifact": lambda said: {**said, "stdoutRef": "other.log"}})
    for path, data in story.guest_files.items():
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / path).write_bytes(data)
    stray = next(record for record in late.records() if record.statement.kind == "RunArtifact")
    said = history(story.records())
    mark = replace(committed(stray, 350), fenced=True, mark="key-expired")
    subject = Subject(
        bundle=BUNDLE,
        pinned=story.pinned,
        executor_keys=signed(replace(said, statements=(*said.statements, mark))),
        marked=(stray,),
    )
    write_export(tmp_path / "export", story.records(), subject, story.keys(), open_within(tmp_path / "out"))
    report = verify_export(read_export(tmp_path / "export"), ONLY_CONTROL, NOW, need_key_history=True)
    assert report.verified, report.verdict
    assert "1 of exec-1 kept and not believed (key-expired)" in report.steps[-1].detail
    (tmp_path / "export" / "executor-keys.json").unlink()
    assert not verify_export(read_export(tmp_path / "export"), story.keys(), NOW).verified
