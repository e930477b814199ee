"""What the steps work on: the export, the keys, and what earlier steps have learned."""

from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from agentplane.errors import Refused, Tampered
from agentplane.events.codec import strictly
from agentplane.evidence.dsse import Envelope
from agentplane.evidence.export import PINS, Export, document_files, is_refusal
from agentplane.evidence.key_history import SignedHistory
from agentplane.evidence.keys import CONTROL, TrustedKeys
from agentplane.evidence.record import Record
from agentplane.evidence.report import read_finished
from agentplane.evidence.seal import RunSeal, read_seal
from agentplane.evidence.strict import read_canonical
from agentplane.runs.model import RunFinished
from agentplane.runs.pinned import Pinned


class Case:
    """One verification. Steps fill `lines`, `envelopes`, `signed_keys`, `signers`, `records` in that order."""

    def __init__(self, export: Export, trusted: TrustedKeys, now: datetime, *, need_key_history: bool = False) -> None:
        self.export = export
        self.need_key_history = need_key_history
        self.trusted = trusted  # and, from the step of signatures on, whom a signed key history speaks for
        self.signed_keys: SignedHistory | None = None
        self.vouched_for: frozenset[str] = frozenset()  # identities of whom only the key history has keys
        self.now = now
        self.lines: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.signers: list[str] = []
        self.records: list[Record] = []

    @property
    def refused(self) -> bool:
        """The run was refused: there is one statement, and nothing was placed, run or sealed."""
        return len(self.records) == 1 and is_refusal(self.records[0])

    @property
    def control_records(self) -> list[Record]:
        """What the control plane signed, in order."""
        return [record for record in self.records if record.identity == CONTROL]

    @property
    def executor_records(self) -> list[Record]:
        """What executors signed, in order."""
        return [record for record in self.records if record.identity != CONTROL]

    @cached_property
    def documents(self) -> dict[str, bytes]:
        """What the files of documents have to hold: name -> bytes. Only for steps after the foundation."""
        return document_files(self.records)

    @cached_property
    def bundle(self) -> dict[str, Any]:
        """The bundle document. Raises Refused, codes `evidence.form`, `evidence.bundle`."""
        document = read_canonical(self.export.bundle or b"")
        if not isinstance(document, dict):
            raise Refused("bundle.json is not an object", code="evidence.bundle")
        return document

    @cached_property
    def pinned(self) -> Pinned:
        """What ran. Raises Refused, codes `evidence.form`, `evidence.pins`."""
        if self.export.pins is None:
            raise Refused("missing", code="evidence.pins", where=PINS)
        try:
            return strictly(read_canonical(self.export.pins), Pinned)
        except msgspec.ValidationError as exc:
            raise Refused(f"not the pins of a run: {exc}", code="evidence.pins", where=PINS) from exc

    def artifact(self, kind: str) -> dict[str, Any]:
        """The document of a kind. Raises Tampered, code `evidence.incomplete`."""
        found = self._artifacts.get(kind)
        if found is None:
            raise Tampered(f"there is no {kind}", code="evidence.incomplete")
        return found

    @cached_property
    def _artifacts(self) -> dict[str, dict[str, Any]]:
        return {record.statement.kind: record.statement.predicate.artifact for record in self.records}

    def find(self, kind: str) -> dict[str, Any] | None:
        """The last document of a kind. Only for steps after the foundation."""
        return self._artifacts.get(kind)

    @cached_property
    def seal(self) -> RunSeal:
        """The seal. Raises Tampered, code `evidence.incomplete`, when there is none; Refused, code `evidence.seal`."""
        return read_seal(self.artifact("RunSeal"))

    @cached_property
    def finished(self) -> RunFinished:
        """The final report. Raises Tampered, code `evidence.incomplete`; Refused, code `evidence.report`."""
        return read_finished(self.artifact("RunFinished"))


def at(number: int) -> str:
    """Where a record stands, for people: numbers count from 0 here and from 1 there."""
    return f"evidence.jsonl line {number + 1}"


def member(document: object, *path: str) -> Any:  # noqa: ANN401 - any JSON value
    """A member of a document whose form nobody has checked; None where there is none."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document
