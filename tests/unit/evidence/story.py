"""A whole run's evidence, made in memory: told as it should be, or with one thing wrong."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from agentplane.artifacts.document import Document, RunFacts
from agentplane.artifacts.replay import divergence_artifact, postcondition_artifact, replay_artifact
from agentplane.artifacts.run import run_artifact, timeout_artifact
from agentplane.canonical import canonical_bytes, digest_bytes, digest_value
from agentplane.evidence.dsse import seal_envelope
from agentplane.evidence.export import (
    Export,
    FileDigest,
    document_files,
    evidence_bytes,
    key_files,
    manifest_bytes,
    summarise,
)
from agentplane.evidence.journal import Head, advance, control_journal, executor_journal, next_link
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys
from agentplane.evidence.record import About, Record
from agentplane.evidence.report import finished_artifact, started_artifact
from agentplane.evidence.seal import seal_artifact
from agentplane.evidence.statement import V0_1, Link, RunRef, read_statement, statement_bytes
from agentplane.replays.compare import compare
from agentplane.runs.model import ArtifactFact, Expected, GuestPin, Pins, Resources, RunFinished, RunStarted, StorePath
from agentplane.runs.pinned import Pinned, pinned_bytes, pinned_digest
from agentplane.runs.states import Outcome
from tests.unit.evidence.conftest import signer_for

NOW = datetime(2026, 1, 31, 12, 10, tzinfo=UTC)
BUNDLE: dict[str, Any] = {
    "apiVersion": "agentplane.socioprophet.org/v0.1",
    "kind": "Bundle",
    "metadata": {"name": "hello", "version": "1.0.0", "createdAt": "2026-01-01T00:00:00Z"},
    "spec": {"policy": {"lane": "staging", "maxRunSeconds": 60, "failOnTimeout": True}},
}
PINS = Pins(
    bundle="hello@1.0.0",
    bundle_digest=digest_value(BUNDLE),
    source=StorePath(path="/nix/store/0-source", nar_hash="sha256:0"),
    module="vm.nix",
    smoke="smoke.sh",
    inputs=(),
    backend_intent="microvm",
    network_mode="none",
    artifact_targets=("/artifacts",),
    resources=Resources(vcpus=1, memory_mib=256, disk_mib=64),
    lane="staging",
    max_run_seconds=60,
    fail_on_timeout=True,
    secrets=(),
    secret_ref_root=None,
    out_dir="artifacts",
    policy_digest="sha256:" + "0" * 64,
    seed="0",
    clock_base="2026-01-31T12:00:00.000000Z",
)
GUEST_FILES = {"report.json": b'{"licenses":3}', "logs/smoke.txt": b"all good\n"}


def time(minute: int) -> str:
    return f"2026-01-31T12:{minute:02d}:00.000000Z"


def fact(path: str, data: bytes) -> ArtifactFact:
    return ArtifactFact(path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


FINISHED = RunFinished(
    executor="exec-1",
    epoch=1,
    outcome=Outcome.EXITED,
    succeeded=True,
    exit_code=0,
    message="",
    artifacts=tuple(fact(path, data) for path, data in sorted(GUEST_FILES.items())),
    run_dir="/r",
    out_dir="/r/artifacts",
    wall_clock_ms=1200,
)
EXPECTED = Expected(run="hello-0000", outcome=Outcome.EXITED, exit_code=0, artifacts=FINISHED.artifacts)


def validation(*, valid: bool = True) -> Document:
    return Document(
        artifact={
            "kind": "ValidationArtifact",
            "bundle": PINS.bundle,
            "capturedAt": time(0),
            "valid": valid,
            "checks": [{"name": "schema", "status": "pass" if valid else "fail"}],
        }
    )


def decision(executor: str = "exec-1") -> Document:
    return Document(
        artifact={
            "kind": "PlacementDecision",
            "capturedAt": time(1),
            "backendIntent": "microvm",
            "requiresKvm": False,
            "chosenExecutor": executor,
            "sshRef": "ssh://exec-1",
            "caps": {},
            "rejected": [],
        }
    )


def receipt(of: Document, key_id: str) -> Document:
    scheduled = {
        "chosenSite": of.artifact["chosenExecutor"],
        "backend": "microvm",
        "constraints": {"lane": PINS.lane},
        "rejectedSites": [],
        "scheduler": of.artifact,
    }
    artifact = {"kind": "PlacementReceipt", "bundle": PINS.bundle, "decision": scheduled}
    return Document(artifact={**artifact, "signedBy": key_id, "createdAt": time(2)})


Edit = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Story:
    """What happens in a run. Set a field, or edit a document just before it is signed, to tell it wrongly."""

    run: RunRef = field(default_factory=lambda: RunRef(tenant="acme", name="hello-0001", epoch=1))
    control: Ed25519Signer = field(default_factory=lambda: signer_for("control"))
    executor: Ed25519Signer = field(default_factory=lambda: signer_for("executor/exec-1"))
    finished: RunFinished = FINISHED
    expected: Expected | None = None
    decided: Document = field(default_factory=decision)
    guest: GuestPin | None = None
    replay_guest: GuestPin | None = None
    pinning: Pinned | None = None  # what pins.json says; None: what the other fields say
    guest_files: dict[str, bytes] = field(default_factory=lambda: dict(GUEST_FILES))
    valid: bool = True
    edits: dict[str, Edit] = field(default_factory=dict)  # by kind
    omit: frozenset[str] = frozenset()  # kinds
    executor_head: Head = field(default_factory=lambda: executor_journal("exec-1"))
    control_head: Head | None = None
    relink: Callable[[str, Link], Link] = lambda _, link: link
    reabout: Callable[[str, About], About] = lambda _, about: about
    files_of: dict[str, tuple[ArtifactFact, ...]] = field(default_factory=dict)  # subjects, by kind

    @property
    def pinned(self) -> Pinned:
        return self.pinning or Pinned(pins=PINS, replay_guest=self.replay_guest, expected=self.expected)

    def decision(self) -> Document:
        """What was decided, with the digest of what runs unless it says one."""
        caps = {"backend": "microvm", "pinsDigest": pinned_digest(self.pinned), **self.decided.artifact["caps"]}
        return Document(artifact={**self.decided.artifact, "caps": caps})

    def records(self) -> list[Record]:
        """Sign everything, in order."""
        self._signed: list[Record] = []
        self._executor_head = self.executor_head
        self._control_head = self.control_head or control_journal(self.run.tenant, self.run.name)
        self._say(validation(valid=self.valid), control=True)
        if not self.valid:
            return self._signed
        self._say(self.decision(), control=True)
        self._say(
            Document(
                artifact=started_artifact(RunStarted(executor="exec-1", epoch=1, guest=self.guest, accelerator="tcg"))
            )
        )
        for document in self._documents():
            self._say(document)
        about = self._about("RunSeal")
        self._say(Document(artifact=seal_artifact(about, self._signed, self.sealed_files())))
        return self._signed

    def sealed_files(self) -> list[ArtifactFact]:
        documents = document_files(self._signed).items()
        return [fact(path, data) for path, data in [*self.guest_files.items(), *documents]]

    def contents(self) -> dict[str, bytes]:
        """The export, file by file."""
        return contents_of(
            self.records(), self.guest_files if self.valid else {}, self.keys(), self.pinned if self.valid else None
        )

    def keys(self) -> TrustedKeys:
        stranger = signer_for("executor/exec-2")
        return TrustedKeys({who.identity: (who.public_key,) for who in (self.control, self.executor, stranger)})

    def _documents(self) -> Iterable[Document]:
        facts = RunFacts(
            tenant=self.run.tenant,
            run=self.run.name,
            epoch=self.run.epoch,
            executor="exec-1",
            pins=PINS,
            bundle=BUNDLE,
            bundle_path="/bundles/hello",
        )
        finished = self.finished
        yield receipt(self.decision(), self.executor.key_id)
        if self.expected is not None:
            finished = replace(finished, replay=compare(self.expected, finished))
            yield postcondition_artifact(facts, self.expected, finished, captured_at=time(4))
            diverged = divergence_artifact(facts, self.expected, finished, captured_at=time(4))
            if diverged is not None:
                yield diverged
        if finished.outcome is Outcome.TIMEOUT:
            yield timeout_artifact(facts, backend="microvm", captured_at=time(4))
        yield Document(artifact=finished_artifact(finished))
        yield run_artifact(facts, finished, captured_at=time(5), stdout_ref="console.log")
        yield replay_artifact(facts, guest=self.guest, artifact_dir="/r/artifacts", captured_at=time(5))

    def _about(self, kind: str) -> About:
        run = replace(self.run, epoch=0) if kind == "ValidationArtifact" else self.run
        return self.reabout(kind, About(run=run, bundle=PINS.bundle, bundle_digest=PINS.bundle_digest))

    def _say(self, document: Document, *, control: bool = False) -> None:
        kind = document.kind
        if kind in self.omit:
            return
        head = self._control_head if control else self._executor_head
        run_previous = self._signed[-1].digest if self._signed else None
        link = self.relink(kind, next_link(head, run_previous=run_previous))
        edit = self.edits.get(kind)
        artifact = edit(document.artifact) if edit else document.artifact
        signer = self.control if control else self.executor
        record = forge(
            artifact, self._about(kind), link, signer, version=document.version, files=self.files_of.get(kind, ())
        )
        self._signed.append(record)
        after = advance(head, record.digest)
        if control:
            self._control_head = after
        else:
            self._executor_head = after


def forge(
    artifact: dict[str, Any],
    about: About,
    link: Link,
    signer: Ed25519Signer,
    *,
    version: str = V0_1,
    files: tuple[ArtifactFact, ...] = (),
) -> Record:
    """Sign without asking whether one may, as somebody with a key of his own would."""
    payload = statement_bytes(
        artifact,
        run=about.run,
        link=link,
        bundle=about.bundle,
        bundle_digest=about.bundle_digest,
        files=files,
        version=version,
    )
    envelope = seal_envelope(payload, signer)
    return Record(
        envelope=envelope,
        digest=digest_bytes(envelope),
        key_id=signer.key_id,
        identity=signer.identity,
        statement=read_statement(payload),
    )


def contents_of(
    records: list[Record], guest_files: dict[str, bytes], trusted: TrustedKeys, pinned: Pinned | None
) -> dict[str, bytes]:
    """The files of an export with a manifest that fits."""
    contents = {
        "evidence.jsonl": evidence_bytes(records),
        "bundle.json": canonical_bytes(BUNDLE),
        **({"pins.json": pinned_bytes(pinned)} if pinned else {}),
        **{f"artifacts/{path}": data for path, data in guest_files.items()},
        **{f"artifacts/{path}": data for path, data in document_files(records).items()},
        **key_files(trusted.find(record.key_id) for record in records),
    }
    return with_manifest(contents, records)


def with_manifest(contents: dict[str, bytes], records: list[Record]) -> dict[str, bytes]:
    """The same files with the manifest that a careful forger would put beside them."""
    files = {path: _digest(data) for path, data in contents.items() if path != "manifest.json"}
    return {**contents, "manifest.json": manifest_bytes(summarise(records), files)}


def as_export(contents: dict[str, bytes]) -> Export:
    """What reading these files from a directory would give."""
    return Export(
        evidence=contents.get("evidence.jsonl"),
        bundle=contents.get("bundle.json"),
        pins=contents.get("pins.json"),
        manifest=contents.get("manifest.json"),
        executor_keys=contents.get("executor-keys.json"),
        marked=contents.get("marked.jsonl"),
        keys={path: data for path, data in contents.items() if path.startswith("keys/")},
        files={path: _digest(data) for path, data in contents.items()},
        strange=(),
    )


def _digest(data: bytes) -> FileDigest:
    return FileDigest(hashlib.sha256(data).hexdigest(), len(data))
