"""Statements, envelopes and records: what is signed, what is refused, and that others can verify it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from agentplane.canonical import canonical_bytes, digest_bytes
from agentplane.errors import AgentplaneError, Refused, Tampered
from agentplane.evidence.dsse import PAYLOAD_TYPE, envelope_bytes, envelope_value, open_envelope, seal_envelope
from agentplane.evidence.journal import Head, advance, check_link, control_journal, executor_journal, next_link
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys
from agentplane.evidence.record import About, Record, issue, open_record
from agentplane.evidence.report import finished_artifact, parse_report, read_finished, started_artifact
from agentplane.evidence.statement import Link, RunRef, kebab, predicate_type, read_statement, statement_bytes
from agentplane.runs.model import ArtifactFact, RunFinished, RunStarted
from agentplane.runs.states import Outcome
from tests.unit.evidence.conftest import signer_for

BUNDLE_DIGEST = "sha256:" + "ab" * 32
ABOUT = About(run=RunRef(tenant="acme", name="hello-0001", epoch=1), bundle="hello@1.0.0", bundle_digest=BUNDLE_DIGEST)
STARTED = RunStarted(executor="exec-1", epoch=1, guest=None, accelerator="tcg")
FINISHED = RunFinished(
    executor="exec-1",
    epoch=1,
    outcome=Outcome.EXITED,
    succeeded=True,
    exit_code=0,
    message="",
    artifacts=(ArtifactFact(path="out.txt", sha256="cd" * 32, size_bytes=3),),
    run_dir="/r",
    out_dir="/r/out",
    wall_clock_ms=1200,
)


def started_record(signer: Ed25519Signer, **changes: Any) -> Record:
    link = next_link(executor_journal("exec-1"), run_previous=digest_bytes(b"placement"))
    return issue(started_artifact(STARTED), **{"about": ABOUT, "link": link, "signer": signer, **changes})


def test_a_record_reads_back_as_it_was_issued(executor: Ed25519Signer, trusted: TrustedKeys) -> None:
    issued = started_record(executor)
    assert open_record(issued.envelope, trusted) == issued
    assert issued.digest == digest_bytes(issued.envelope)


def test_payload_and_envelope_are_rfc_8785_bytes(executor: Ed25519Signer) -> None:
    envelope = started_record(executor).envelope
    assert canonical_bytes(json.loads(envelope)) == envelope
    payload = open_envelope(envelope).payload
    assert canonical_bytes(json.loads(payload)) == payload


def test_statement_is_an_in_toto_statement(executor: Ed25519Signer) -> None:
    record = started_record(executor, files=FINISHED.artifacts)
    payload = json.loads(open_envelope(record.envelope).payload)
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["predicateType"] == "https://agentplane.socioprophet.org/run-started/v0.1"
    assert payload["subject"] == [
        {"name": "bundle:hello@1.0.0", "digest": {"sha256": "ab" * 32}},
        {"name": "out.txt", "digest": {"sha256": "cd" * 32}},
    ]
    assert payload["predicate"]["chain"]["index"] == 1


def test_securesystemslib_verifies_our_envelope(executor: Ed25519Signer) -> None:
    record = started_record(executor)
    key = SSlibKey.from_crypto(executor.public_key, keyid=executor.key_id)
    # from_dict takes the given object apart, hence a fresh one each time
    foreign = ForeignEnvelope.from_dict(json.loads(record.envelope))
    assert list(foreign.verify([key], 1)) == [executor.key_id]
    foreign = ForeignEnvelope.from_dict(json.loads(record.envelope))
    foreign.payload = foreign.payload.replace(b"hello", b"hallo")
    with pytest.raises(VerificationError):
        foreign.verify([key], 1)


def test_every_flipped_bit_of_an_envelope_is_noticed(executor: Ed25519Signer, trusted: TrustedKeys) -> None:
    envelope = started_record(executor).envelope
    for position in range(len(envelope)):
        for mask in (0x01, 0x20, 0x80):
            changed = bytearray(envelope)
            changed[position] ^= mask
            with pytest.raises(AgentplaneError):
                open_record(bytes(changed), trusted)


def test_another_spelling_of_the_same_envelope_is_refused(executor: Ed25519Signer, trusted: TrustedKeys) -> None:
    envelope = started_record(executor).envelope
    for spelled in (
        envelope.replace(b'":', b'": ', 1),
        envelope + b"\n",
        json.dumps(dict(reversed(json.loads(envelope).items())), separators=(",", ":")).encode(),
        envelope.replace(b"payloadType", b"\\u0070ayloadType"),
        envelope[:-1] + b',"signatures":[]}',
    ):
        with pytest.raises(Refused, match=r"canonical|signature"):
            open_record(spelled, trusted)


def test_an_envelope_needs_exactly_one_signature(executor: Ed25519Signer, trusted: TrustedKeys) -> None:
    value = envelope_value(started_record(executor).envelope)
    for count in (0, 2):
        with pytest.raises(Refused, match="one signature"):
            open_record(canonical_bytes({**value, "signatures": value["signatures"] * count}), trusted)


def test_a_payload_of_another_type_is_refused(executor: Ed25519Signer, trusted: TrustedKeys) -> None:
    value = {**envelope_value(started_record(executor).envelope), "payloadType": "text/plain"}
    with pytest.raises(Refused, match="payload type"):
        open_record(canonical_bytes(value), trusted)


def test_events_carry_envelopes_without_loss(executor: Ed25519Signer) -> None:
    envelope = started_record(executor).envelope
    assert envelope_bytes(envelope_value(envelope)) == envelope


def test_a_stranger_is_not_believed(trusted: TrustedKeys) -> None:
    impostor = signer_for("executor/exec-1", seed=7)
    with pytest.raises(Tampered) as caught:
        open_record(started_record(impostor).envelope, trusted)
    assert caught.value.code == "evidence.untrusted-key"


def test_a_stolen_executor_key_writes_no_other_journal(trusted: TrustedKeys) -> None:
    thief = signer_for("executor/exec-2")
    with pytest.raises(Tampered, match="signed a record of executor/exec-1"):
        started_record(thief)
    # nor does it help to skip our own check when signing
    payload = open_envelope(started_record(signer_for("executor/exec-1")).envelope).payload
    with pytest.raises(Tampered) as caught:
        open_record(seal_envelope(payload, thief), trusted)
    assert caught.value.code == "evidence.signer"


@pytest.mark.parametrize("kind", ["ValidationArtifact", "PlacementDecision"])
def test_an_executor_decides_nothing(kind: str, executor: Ed25519Signer) -> None:
    with pytest.raises(Tampered, match="may not sign"):
        issue(
            {"kind": kind}, about=ABOUT, link=next_link(executor_journal("exec-1"), run_previous=None), signer=executor
        )


def test_control_reports_no_runs(control: Ed25519Signer) -> None:
    link = next_link(control_journal("acme", "hello-0001"), run_previous=None)
    with pytest.raises(Tampered, match="may not sign"):
        issue({"kind": "RunArtifact"}, about=ABOUT, link=link, signer=control)


def test_a_control_journal_holds_its_own_run_only(control: Ed25519Signer) -> None:
    link = next_link(control_journal("acme", "another"), run_previous=None)
    with pytest.raises(Tampered, match="a record of run acme/hello-0001"):
        issue({"kind": "ValidationArtifact"}, about=ABOUT, link=link, signer=control)


LINK = Link(journal="executor/exec-1", index=1, previous=None, run_previous=None)


def payload_of(**changes: Any) -> dict[str, Any]:
    data = statement_bytes(
        {"kind": "RunArtifact", "n": 1}, run=ABOUT.run, link=LINK, bundle=ABOUT.bundle, bundle_digest=BUNDLE_DIGEST
    )
    return {**json.loads(data), **changes}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (payload_of(_type="https://in-toto.io/Statement/v0.1"), "statement type"),
        (payload_of(predicateType=predicate_type("ReplayArtifact")), "predicate type"),
        (payload_of(predicateType="https://example.org/run-artifact/v0.1"), "predicate type"),
        (payload_of(subject=[]), "first subject"),
        (payload_of(subject=[{"name": "out.txt", "digest": {"sha256": "ab" * 32}}]), "first subject"),
        (payload_of(subject=[{"name": "bundle:x", "digest": {"sha256": "AB" * 32}}]), "no digest"),
        (payload_of(subject=[{"name": "bundle:x", "digest": {"md5": "ab" * 16}}]), "unknown field `md5`"),
        (payload_of(subject=[{"name": "bundle:x", "digest": {}}]), "missing required field `sha256`"),
        (payload_of(extra=1), "unknown field"),
        ({k: v for k, v in payload_of().items() if k != "subject"}, "missing required field"),
    ],
)
def test_statements_that_are_not_of_the_form_are_refused(payload: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_statement(canonical_bytes(payload))


@pytest.mark.parametrize("number", [1.5, 1e300, 2**53, -(2**53)])
def test_numbers_that_have_no_one_form_are_never_signed(number: float) -> None:
    with pytest.raises(Refused):
        statement_bytes(
            {"kind": "RunArtifact", "n": number},
            run=ABOUT.run,
            link=LINK,
            bundle=ABOUT.bundle,
            bundle_digest=BUNDLE_DIGEST,
        )


def test_deep_nesting_is_refused_without_a_traceback() -> None:
    with pytest.raises(Refused):
        read_statement(b'{"a":' * 100_000)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON_VALUES)
@settings(max_examples=300)
def test_any_canonical_artifact_survives_the_fast_reader(value: Any) -> None:
    artifact = {"kind": "RunArtifact", "value": value}
    data = statement_bytes(artifact, run=ABOUT.run, link=LINK, bundle=ABOUT.bundle, bundle_digest=BUNDLE_DIGEST)
    assert canonical_bytes(json.loads(data)) == data
    assert read_statement(data).predicate.artifact == artifact


@given(value=JSON_VALUES, loose=st.booleans())
@settings(max_examples=300)
def test_the_fast_reader_takes_only_what_rfc_8785_would_write(value: Any, loose: bool) -> None:
    document = payload_of()
    document["predicate"]["artifact"]["value"] = value
    data = json.dumps(document, ensure_ascii=loose, separators=(",", ":"), sort_keys=True).encode("utf-8", "replace")
    try:
        read_statement(data)
    except Refused:
        assert canonical_bytes(json.loads(data)) != data
    else:
        assert canonical_bytes(json.loads(data)) == data


@pytest.mark.parametrize(
    ("kind", "name"),
    [("RunArtifact", "run-artifact"), ("RunSeal", "run-seal"), ("PlacementDecision", "placement-decision")],
)
def test_kinds_become_file_names(kind: str, name: str) -> None:
    assert kebab(kind) == name


@pytest.mark.parametrize("kind", ["", "runArtifact", "../x", "Run Artifact", "RunA.rtifact", "RUN"])
def test_what_is_not_a_kind_names_no_file(kind: str) -> None:
    with pytest.raises(Refused):
        kebab(kind)


def test_a_report_is_believed_from_its_executor_only(executor: Ed25519Signer, trusted: TrustedKeys) -> None:
    envelope = started_record(executor).envelope
    report = parse_report(envelope, trusted, "exec-1")
    assert (report.kind, report.run, report.tenant, report.epoch, report.index) == (
        "RunStarted",
        "hello-0001",
        "acme",
        1,
        1,
    )
    with pytest.raises(Tampered):
        parse_report(envelope, trusted, "exec-2")


def test_a_finished_report_gives_back_its_struct() -> None:
    assert read_finished(finished_artifact(FINISHED)) == FINISHED


@pytest.mark.parametrize("change", [{"executor": "exec-2"}, {"epoch": 2}, {"surprise": 1}, {"accelerator": 3}])
def test_a_message_that_contradicts_its_statement_is_refused(
    change: dict[str, Any], executor: Ed25519Signer, trusted: TrustedKeys
) -> None:
    link = next_link(executor_journal("exec-1"), run_previous=None)
    lie = issue({**started_artifact(STARTED), **change}, about=ABOUT, link=link, signer=executor)
    with pytest.raises(Refused) as caught:
        parse_report(lie.envelope, trusted, "exec-1")
    assert caught.value.code == "evidence.report"


def test_a_journal_continues_only_from_its_own_head(executor: Ed25519Signer) -> None:
    head = executor_journal("exec-1")
    first = started_record(executor)
    check_link(head, first.statement.predicate.chain)
    head = advance(head, first.digest)
    second = next_link(head, run_previous=first.digest)
    check_link(head, second)
    for wrong in (
        Head(journal="executor/exec-2", index=1, digest=first.digest),
        Head(journal="executor/exec-1", index=2, digest=first.digest),
        Head(journal="executor/exec-1", index=1, digest=digest_bytes(b"another past")),
        executor_journal("exec-1"),
    ):
        with pytest.raises(Tampered) as caught:
            check_link(wrong, second)
        assert caught.value.code == "evidence.chain"


def test_the_payload_type_is_that_of_in_toto() -> None:
    assert PAYLOAD_TYPE == "application/vnd.in-toto+json"


def test_the_largest_envelope_fits_into_an_event() -> None:
    from agentplane.evidence.dsse import MAX_ENVELOPE_BYTES
    from agentplane.store.prepare import MAX_DATA_BYTES

    assert MAX_ENVELOPE_BYTES < MAX_DATA_BYTES
