"""Reading a log whole and holding it against what it must be: no gap, every digest its event's, statements signed.

Opens a connection that it is given the words for; changes nothing.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg

from agentplane.backup.manifest import LogMark
from agentplane.enrolment import fold
from agentplane.enrolment.keys import trusted_keys
from agentplane.enrolment.model import Enrolment
from agentplane.errors import Tampered
from agentplane.events.codec import payload
from agentplane.events.digest import body_digest
from agentplane.events.model import Event, Phase
from agentplane.evidence.dsse import envelope_bytes
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.record import Record, open_record
from agentplane.runs.executors import executor_stream
from agentplane.runs.model import RunEvidence
from agentplane.store import sql
from agentplane.store.connection import translated
from agentplane.store.entry import Entry

EVIDENCE: Final = "run.evidence"
_PAGE: Final = 500
Visit = Callable[[RunEvidence, Record], None]


def mark(conninfo: str) -> LogMark:
    """What the log holds now; its digests are taken as stored. Raises Transient, Denied."""
    tally = _Tally()
    with translated(), psycopg.connect(conninfo) as connection, connection.cursor("mark") as cursor:
        cursor.itersize = _PAGE * 10
        for sequence, type_, digest in cursor.execute(sql.DIGESTS):
            tally.add(sequence, type_, bytes(digest))
    return tally.mark()


def audit(conninfo: str, expected: LogMark, trusted: TrustedKeys, visit: Visit) -> LogMark:
    """Read every event, check it, and answer what the log holds. `visit` gets each committed statement, verified.

    `trusted`: the keys that configuration gives; those of executors that joined stand in the log itself, which must be
    the one that was backed up.

    Raises:
        Tampered: `backup.log`: a gap, an event that is not what its digest says, another past than `expected`, or
            fewer events; the codes of `open_record`: a statement that is not signed by a trusted key.
        Transient, Denied: as the database says.
    """
    tally, keys = _Tally(), _Keys(trusted)
    for entry in _entries(conninfo):
        stored = entry.stored
        if body_digest(stored.event, entry.data) != entry.digest:
            raise _wrong(f"event {stored.sequence} is not what its digest says")
        tally.add(stored.sequence, stored.event.type, entry.digest)
        if stored.event.type == EVIDENCE:
            said = payload(stored.event, RunEvidence)
            visit(said, open_record(envelope_bytes(said.envelope), keys.trusted))
        keys.see(stored.event)
        if stored.sequence == expected.last_sequence and tally.mark() != expected:
            raise _wrong(f"the log up to event {stored.sequence} is not the one that was backed up")
    if tally.last < expected.last_sequence:
        raise _wrong(f"the log ends at {tally.last}, but {expected.last_sequence} events were backed up")
    return tally.mark()


class _Keys:
    """Whom to believe, as the log goes by: more, whenever an executor was let in or renewed its keys."""

    def __init__(self, declared: TrustedKeys) -> None:
        self.trusted = self._declared = declared
        self._enrolments: dict[str, Enrolment] = {}

    def see(self, event: Event) -> None:
        """Take note of an executor's keys; nobody but control writes into the streams of executors."""
        name = event.stream.name
        if event.phase is not Phase.FACT or event.stream != executor_stream(name) or not fold.applies(event):
            return
        before = self._enrolments.get(name, Enrolment())
        after = self._enrolments[name] = fold.apply(before, event)
        if after.keys != before.keys:
            self.trusted = trusted_keys(self._declared, self._enrolments.items())


class _Tally:
    """Counts and chains digests while a log goes by."""

    def __init__(self) -> None:
        self.last = 0
        self._events = self._statements = 0
        self._hash = hashlib.sha256()

    def add(self, sequence: int, type_: str, digest: bytes) -> None:
        if sequence != self.last + 1:
            raise _wrong(f"event {sequence} follows event {self.last}")
        self.last = sequence
        self._events += 1
        self._statements += type_ == EVIDENCE
        self._hash.update(digest)

    def mark(self) -> LogMark:
        return LogMark(
            last_sequence=self.last, events=self._events, statements=self._statements, digest=self._hash.hexdigest()
        )


def _entries(conninfo: str) -> Iterator[Entry]:
    with translated(), psycopg.connect(conninfo) as connection, connection.cursor("audit") as cursor:
        cursor.itersize = _PAGE
        rows: Iterator[tuple[Any, ...]] = iter(cursor.execute(sql.WHOLE_LOG))
        for row in rows:
            yield sql.entry_of(row)


def _wrong(message: str) -> Tampered:
    return Tampered(message, code="backup.log", where="log.events")
