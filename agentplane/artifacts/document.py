"""A document on its way to a file and to a statement: one value, one set of bytes. Pure."""

import hashlib
from typing import Any, Final

import msgspec

from agentplane.canonical import canonical_bytes
from agentplane.evidence.statement import V0_1, kebab
from agentplane.runs.model import ArtifactFact, Pins

RESERVED_KINDS: Final = (
    "ValidationArtifact",
    "PlacementDecision",
    "PlacementReceipt",
    "RunArtifact",
    "ReplayArtifact",
    "TimeoutArtifact",
    "PostconditionArtifact",
    "DivergenceArtifact",
    "RunSeal",
)
MESSAGE_KINDS: Final = frozenset({"RunStarted", "RunFinished"})  # statements without a file


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact and the version of the schema that it is valid against."""

    artifact: dict[str, Any]
    version: str = V0_1

    @property
    def kind(self) -> str:
        """`RunArtifact`."""
        return str(self.artifact["kind"])

    @property
    def file_name(self) -> str:
        """`run-artifact.json`."""
        return file_name(self.kind)

    @property
    def data(self) -> bytes:
        """The bytes of its file: RFC 8785, so that `sha256sum` of the file is the digest of the claim."""
        return canonical_bytes(self.artifact)


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What every document of a run attempt is built from."""

    tenant: str
    run: str
    epoch: int
    executor: str
    pins: Pins
    bundle: dict[str, Any]  # the document
    bundle_path: str


def file_name(kind: str) -> str:
    """`RunArtifact` -> `run-artifact.json`: the file of a kind in `spec.artifacts.outDir`. Raises Refused."""
    return kebab(kind) + ".json"


# belong to us: a guest's file of such a name is refused
RESERVED_NAMES: Final = frozenset(file_name(kind) for kind in RESERVED_KINDS)


def document_fact(document: Document) -> ArtifactFact:
    """What a seal says of the document's file."""
    data = document.data
    return ArtifactFact(path=document.file_name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
