"""What control decides upon: a fold of the log, nothing else. Two processes at one position hold equal states. Pure.

`ControlState` is owned by one fold: whoever applies events to it is the only one to change it, everybody else reads.
Liveness is not in here: when an executor was last heard of is each process's own, soft knowledge (controllers.leases).
Events that cannot be read, or whose type is unknown, move their stream's version and nothing else. What a newer control
wrote on a stream is `beyond` this one: it decides nothing more about that stream, and leaves it to the newer one.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from agentplane.controllers.executor_fold import apply_to_executor
from agentplane.controllers.records import ExecutorRecord, RunKey, RunRecord
from agentplane.controllers.run_fold import apply_to_run, slim
from agentplane.domains.deadletters import Letters
from agentplane.domains.resource import DEAD_LETTER_KIND
from agentplane.domains.state import Resources
from agentplane.errors import Refused
from agentplane.events.model import StoredEvent, StreamId
from agentplane.events.origin import is_imported
from agentplane.events.upcasting import NEWER, OURS, OWN_TYPES, Upcasters
from agentplane.runs import executors, facts
from agentplane.runs.states import RunState


class ControlState:
    """Runs, executors and resources as the log up to `position` has them."""

    def __init__(self, upcasters: Upcasters = OURS) -> None:
        self.position = 0  # sequence of the last event applied
        self.unreadable = 0  # events whose data did not fit their type
        self.newer = 0  # events of versions that are not known here
        self.resources = Resources()  # of every domain
        self.letters = Letters()  # dead ones
        self._upcasters = upcasters
        self._beyond: set[StreamId] = set()
        self._runs: dict[RunKey, RunRecord] = {}
        self._live: dict[RunKey, None] = {}  # runs that have not ended, oldest first
        self._executors: dict[str, ExecutorRecord] = {}

    def apply(self, stored: StoredEvent) -> None:
        """Take the next event of the log; one that was taken before changes nothing.

        Raises:
            ValueError: events are missing between `position` and this one.
        """
        if stored.sequence <= self.position:
            return
        if stored.sequence != self.position + 1:
            raise ValueError(f"event {stored.sequence} does not follow {self.position}")
        self.position = stored.sequence
        self.take(stored)

    def take(self, stored: StoredEvent) -> None:
        """Take an event without asking for its place in the whole log; for one tenant's part of it.

        Imported history changes nothing: nobody acts upon what another control plane decided.
        """
        if is_imported(stored.event.stream):
            return
        if stored.event.stream in self._beyond or (current := self._current(stored)) is None:
            return
        stored = current
        match stored.event.stream.kind:
            case facts.RUN_KIND:
                self._apply_to_run(stored)
            case executors.KIND if stored.event.stream.tenant == executors.SYSTEM_TENANT:
                self._apply_to_executor(stored)
            case kind if kind == DEAD_LETTER_KIND:
                self.letters.apply(stored)
            case _:
                self.resources.apply(stored)

    def _current(self, stored: StoredEvent) -> StoredEvent | None:
        """The event in today's form; None where a newer program has taken over its stream."""
        try:
            return self._upcasters.current(stored)
        except Refused as refused:
            if refused.code != NEWER:
                return stored  # whoever folds it finds that it cannot be read
            self.newer += 1
            if not stored.event.type.startswith(OWN_TYPES):
                return stored  # a domain's own type: no fold here looks into it
            self._beyond.add(stored.event.stream)
            return None

    def is_beyond(self, stream: StreamId) -> bool:
        """Whether a newer program has written what is not understood here on this stream."""
        return stream in self._beyond

    def run(self, key: RunKey) -> RunRecord | None:
        """One run; None: never heard of."""
        return self._runs.get(key)

    def live_runs(self) -> Iterator[RunRecord]:
        """All runs that have not ended, oldest first."""
        return (self._runs[key] for key in tuple(self._live))

    def census(self) -> Iterator[tuple[RunState, RunKey]]:
        """The state of every run that was ever heard of."""
        return ((record.state, key) for key, record in self._runs.items())

    def executor(self, name: str) -> ExecutorRecord:
        """One executor; an empty record for one that never registered."""
        return self._executors.get(name) or ExecutorRecord(name=name)

    def executors(self) -> tuple[ExecutorRecord, ...]:
        """All executors that ever registered or were approved, by name."""
        return tuple(each for each in self.all_executors() if each.key_id or each.enrolment.approved)

    def all_executors(self) -> tuple[ExecutorRecord, ...]:
        """Everybody that the log speaks of, also names that somebody only asks for, by name."""
        return tuple(self._executors[name] for name in sorted(self._executors))

    @contextmanager
    def seeing(self, executors_: Iterable[ExecutorRecord]) -> Iterator[None]:
        """With these executors and no others meanwhile: to take a decision again upon the fleet as it was."""
        before, self._executors = self._executors, {each.name: each for each in executors_}
        try:
            yield
        finally:
            self._executors = before

    @contextmanager
    def as_it_was(self, run: RunRecord) -> Iterator[None]:
        """With an earlier record of one run meanwhile."""
        before = self._runs[run.key]
        self._runs[run.key] = run
        try:
            yield
        finally:
            self._runs[run.key] = before

    def _apply_to_run(self, stored: StoredEvent) -> None:
        key = RunKey(stored.event.stream.tenant, stored.event.stream.name)
        before = self._runs.get(key)
        try:
            after = apply_to_run(before, stored)
        except Refused:
            self.unreadable += 1
            if before is None:
                return
            after = replace(before, version=stored.stream_version, last_event=stored.event.id)
        self._runs[key] = slim(after) if after.ended else after
        if after.ended:
            self._live.pop(key, None)
        else:
            self._live.setdefault(key)

    def _apply_to_executor(self, stored: StoredEvent) -> None:
        name = stored.event.stream.name
        before = self.executor(name)
        try:
            after = apply_to_executor(before, stored)
        except Refused:
            self.unreadable += 1
            after = replace(before, version=stored.stream_version, last_event=stored.event.id)
        self._executors[name] = after
