"""Steps over the files beside the records: artifacts, documents, keys and the manifest. Pure."""

import hashlib

from agentplane.errors import Tampered
from agentplane.evidence.export import (
    ARTIFACTS,
    BUNDLE,
    EVIDENCE,
    EXECUTOR_KEYS,
    KEYS,
    MANIFEST,
    MARKED,
    PINS,
    FileDigest,
    key_files,
    manifest_bytes,
    summarise,
)
from agentplane.evidence.steps.case import Case, at
from agentplane.runs.model import ArtifactFact

_SEAL_FILE = "run-seal.json"
_TOP = frozenset({EVIDENCE, BUNDLE, PINS, EXECUTOR_KEYS, MARKED, MANIFEST})


def documents(case: Case) -> str:
    """Every <kebab-kind>.json holds exactly the document of its statement."""
    wanted = case.documents
    for name, data in wanted.items():
        found = case.export.files.get(ARTIFACTS + name)
        if found is None:
            raise Tampered("missing", where=ARTIFACTS + name, code="evidence.document")
        if found != _digest(data):
            raise Tampered("not the document that was signed", where=ARTIFACTS + name, code="evidence.document")
    return f"{len(wanted)} documents"


def artifacts(case: Case) -> str:
    """The artifact directory holds exactly the sealed files, byte for byte, and the statements agree on them."""
    names = case.documents
    listed = () if case.refused else case.seal.files
    expected = {fact.path: FileDigest(fact.sha256, fact.size_bytes) for fact in listed}
    if len(expected) != len(listed) or not set(names) - {_SEAL_FILE} <= expected.keys() | _unsealed(case):
        raise Tampered("the seal does not list every file once", code="evidence.files")
    if not case.refused:
        _check_guest_files(case.finished.artifacts, [fact for fact in listed if fact.path not in names])
    _check_subjects(case, expected)
    wanted = expected.keys() | set(names)
    found = {path.removeprefix(ARTIFACTS) for path in case.export.files if path.startswith(ARTIFACTS)}
    for path in sorted(wanted ^ found):
        raise Tampered(
            "missing" if path in wanted else "nobody sealed it", where=ARTIFACTS + path, code="evidence.files"
        )
    for path, digest in expected.items():
        if case.export.files[ARTIFACTS + path] != digest:
            raise Tampered("not the file that was sealed", where=ARTIFACTS + path, code="evidence.files")
    return f"{len(found)} files, {sum(file.size_bytes for file in expected.values())} bytes sealed"


def keys(case: Case) -> str:
    """keys/ holds copies of the trusted keys that signed, and no others: nobody is led to trust another key."""
    used = {record.key_id for record in case.records} | ({case.signed_keys.key_id} if case.signed_keys else set())
    wanted = key_files(case.trusted.find(key_id) for key_id in used)
    if dict(case.export.keys) != wanted:
        differing = {path for path, data in case.export.keys.items() if wanted.get(path) != data}
        path = min(differing or wanted.keys() - case.export.keys.keys())
        raise Tampered("not the trusted key that signed", where=path, code="evidence.keys")
    return f"{len(wanted)} keys"


def manifest(case: Case) -> str:
    """manifest.json is the one that fits, and no file is left over."""
    for path in sorted(case.export.files):
        if path not in _TOP and not path.startswith((ARTIFACTS, KEYS)):
            raise Tampered("not part of an export", where=path, code="evidence.layout")
    if case.export.manifest != manifest_bytes(summarise(case.records), case.export.files):
        raise Tampered("does not describe this export", where=MANIFEST, code="evidence.manifest")
    return f"{len(case.export.files) - 1} files listed"


def _digest(data: bytes) -> FileDigest:
    return FileDigest(hashlib.sha256(data).hexdigest(), len(data))


def _unsealed(case: Case) -> set[str]:
    # Of a refused run nothing is sealed: control's one document is covered by its own signature.
    return {"validation-artifact.json"} if case.refused else set()


def _check_guest_files(reported: tuple[ArtifactFact, ...], listed: list[ArtifactFact]) -> None:
    if sorted(reported, key=lambda fact: fact.path) != listed:
        raise Tampered("the final report and the seal list different files", code="evidence.files")


def _check_subjects(case: Case, expected: dict[str, FileDigest]) -> None:
    for number, record in enumerate(case.records):
        for subject in record.statement.subject[1:]:
            if subject.name not in expected or expected[subject.name].sha256 != subject.digest.sha256:
                raise Tampered(
                    f"about a file {subject.name} that is not sealed", where=at(number), code="evidence.files"
                )
