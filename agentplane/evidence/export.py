"""An export: everything a stranger needs to check one run, as a directory of plain files. Pure; I/O in `export_file`.

evidence.jsonl     the envelopes, one a line, in order; the seal last
bundle.json        the bundle document (RFC 8785): its sha256 is what every statement is about
pins.json          what ran (RFC 8785, agentplane.runs.pinned): its sha256 is in the signed decision; not if refused
executor-keys.json which executors' keys counted when, signed by control (agentplane.evidence.key_history); older: none
marked.jsonl       envelopes that were kept and not believed, as that history says; only where there are any
artifacts/…        the files of the artifact directory, the documents among them
manifest.json      counts and digests of all of the above, unsigned: for people, and checked like the rest
keys/…             the public keys that signed, for convenience only: trust comes from the verifier's own keys
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from agentplane.errors import Refused, Tampered
from agentplane.evidence.keys import CONTROL, TrustedKey
from agentplane.evidence.record import Record
from agentplane.evidence.seal import SEAL_KIND, read_seal
from agentplane.evidence.strict import bytes_of_plain
from agentplane.ids import Digest

EVIDENCE: Final = "evidence.jsonl"
BUNDLE: Final = "bundle.json"
PINS: Final = "pins.json"
EXECUTOR_KEYS: Final = "executor-keys.json"
MARKED: Final = "marked.jsonl"
MANIFEST: Final = "manifest.json"
ARTIFACTS: Final = "artifacts/"
KEYS: Final = "keys/"
MESSAGE_KINDS: Final = frozenset({"RunStarted", "RunFinished"})  # statements that are no documents and have no file


class FileDigest(msgspec.Struct, frozen=True):
    """What a file holds, without holding it."""

    sha256: str  # hex
    size_bytes: int


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A directory as it was found: small files whole, all files by digest, and what has no business there."""

    evidence: bytes | None  # None: there is no such file
    bundle: bytes | None
    pins: bytes | None
    manifest: bytes | None
    keys: Mapping[str, bytes]  # path -> content
    files: Mapping[str, FileDigest]  # path -> digest, for every regular file
    executor_keys: bytes | None = None
    marked: bytes | None = None
    strange: tuple[str, ...]  # what is neither a regular file nor a directory with one in it, in words


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is about, as its records say."""

    tenant: str
    run: str
    epoch: int
    bundle: str
    bundle_digest: Digest
    head: Digest
    statements: int


def select_attempt(records: Sequence[Record]) -> tuple[Record, ...]:
    """Of all records of a run, those of the attempt that counts: as listed by the newest seal, and the seal.

    A run that was refused has no seal: its one ValidationArtifact is all there is.

    Raises:
        Refused: code `evidence.unsealed`: the run has not ended, or its executor has not delivered everything.
        Tampered: code `evidence.seal`: a record that the seal lists is not there.
    """
    seals = [record for record in records if record.statement.kind == SEAL_KIND]
    if not seals:
        if len(records) == 1 and is_refusal(records[0]):
            return tuple(records)
        raise Refused(
            "no seal yet: the run has not ended, or its executor has not delivered all of its journal",
            code="evidence.unsealed",
            hint="wait for the run to end: agentplane run --wait, agentplane get run",
        )
    seal = max(seals, key=lambda record: record.statement.predicate.run.epoch)
    known = {record.digest: record for record in records}
    listed = [statement.digest for statement in read_seal(seal.statement.predicate.artifact).statements]
    missing = [digest for digest in listed if digest not in known]
    if missing:
        raise Tampered(f"the seal lists {missing[0]}, which is not there", code="evidence.seal")
    return (*(known[Digest(digest)] for digest in listed), seal)


def is_refusal(record: Record) -> bool:
    """Whether a record says that the bundle was refused, which is how a run can end without a seal."""
    artifact = record.statement.predicate.artifact
    return record.statement.kind == "ValidationArtifact" and artifact.get("valid") is False


def evidence_bytes(records: Iterable[Record]) -> bytes:
    """The content of evidence.jsonl."""
    return b"".join(record.envelope + b"\n" for record in records)


def document_files(records: Iterable[Record]) -> dict[str, bytes]:
    """The documents that the statements claim: file name -> RFC 8785 bytes. Of a kind the last one counts."""
    documents: dict[str, bytes] = {}
    for record in records:
        if record.statement.kind not in MESSAGE_KINDS:
            name = record.statement.predicate_type.split("/")[-2] + ".json"
            documents[name] = bytes_of_plain(record.statement.predicate.artifact)
    return documents


def key_files(keys: Iterable[TrustedKey]) -> dict[str, bytes]:
    """The content of keys/, in the layout that `--keys` reads. Of several control keys the first is `control.pub`."""
    files: dict[str, bytes] = {}
    for key in sorted({key.key_id: key for key in keys}.values(), key=lambda key: (key.identity, key.key_id)):
        name = CONTROL if key.identity == CONTROL else "executors/" + key.identity.rpartition("/")[2]
        path = f"{KEYS}{name}.pub"
        joint = "-" if key.identity == CONTROL else "."
        files[path if path not in files else f"{KEYS}{name}{joint}{key.key_id[:12]}.pub"] = key.pem
    return files


def summarise(records: Sequence[Record]) -> Summary:
    """What an attempt's records are about. Needs at least one."""
    last = records[-1]
    run = last.statement.predicate.run
    return Summary(
        tenant=run.tenant,
        run=run.name,
        epoch=run.epoch,
        bundle=last.statement.bundle,
        bundle_digest=last.statement.bundle_digest,
        head=last.digest,
        statements=len(records),
    )


def manifest_bytes(summary: Summary, files: Mapping[str, FileDigest]) -> bytes:
    """The one manifest that fits: made from everything else, so whoever changes either contradicts the other."""
    listed = [
        {"path": path, "sha256": file.sha256, "sizeBytes": file.size_bytes}
        for path, file in sorted(files.items())
        if path != MANIFEST
    ]
    return bytes_of_plain(
        {
            "kind": "EvidenceExport",
            "formatVersion": 1,
            "tenant": summary.tenant,
            "run": summary.run,
            "epoch": summary.epoch,
            "bundle": summary.bundle,
            "bundleDigest": summary.bundle_digest,
            "head": summary.head,
            "statements": summary.statements,
            "files": listed,
        }
    )
