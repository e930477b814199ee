"""A recorded history through today's controllers: event by event, each decision before what it led to. Pure."""

from collections.abc import Callable, Iterable
from typing import Final

from agentplane.checks import domains as d
from agentplane.checks import runs as r
from agentplane.checks.comparing import changes, events_of
from agentplane.checks.domains import DomainHistory, Silence
from agentplane.checks.pending import Pending, resource_words
from agentplane.checks.report import Difference, Poison, Report, Unjudged
from agentplane.checks.runs import RunHistory, Unknown
from agentplane.controllers.recording import read_decided
from agentplane.controllers.versions import version_of
from agentplane.domains.registry import Registry
from agentplane.domains.resource import APPLIED, DELETION_REQUESTED, DeadLettered
from agentplane.domains.tasks import Conclusion
from agentplane.errors import NotFound, Refused
from agentplane.events.model import Event, StoredEvent, StreamId
from agentplane.evidence.keys import Signer
from agentplane.runs.facts import RUN_KIND

ADMITTED: Final = frozenset({APPLIED, DELETION_REQUESTED})
_RUNS: Final = frozenset({RUN_KIND})
# why a controller failed that cannot be seen from what it was shown: time, and what the store refused
_OUTSIDE: Final = ("controller.timeout", "controller.exit", "store.", "event.data")


class Check:
    """One check over one history. Owned by one caller: `take` every event in order, then `report` once."""

    def __init__(self, registry: Registry, signer: Signer, wanted: Callable[[StoredEvent], bool]) -> None:
        """`wanted`: which decisions to judge, by their first event; everything is folded."""
        self._registry = registry
        self._wanted = wanted
        self._domains = DomainHistory(registry)
        self._runs = RunHistory(signer, registry.upcasters)
        self._versions: dict[str, int] = {}  # of each controller when it last decided, or as recorded rules say
        self._at: dict[StreamId, int] = {}
        self._holes: set[StreamId] = set()
        self._open: Pending | None = None
        self._events: list[int] = []
        self._decisions = self._same = self._silences = 0
        self._differences: list[Difference] = []
        self._unjudged: list[Unjudged] = []
        self._poison: list[Poison] = []
        self._count = 0

    def take(self, stored: StoredEvent) -> None:
        """The next event of the history. Raises Refused, code `check.order`: it does not come after the one before."""
        if self._events and stored.sequence <= self._events[-1]:
            raise Refused(f"event {stored.sequence} does not come after {self._events[-1]}", code="check.order")
        self._events = [self._events[0] if self._events else stored.sequence, stored.sequence]
        self._count += 1
        if self._open is not None and not self._open.includes(stored):
            self._close()
        if self._open is not None:
            self._open.recorded.append(stored)
        else:
            self._open = self._begun(stored)
        self._note(stored)
        self._domains.apply(stored)
        self._runs.apply(stored)

    def report(self, poison: Iterable[Poison] = ()) -> Report:
        """What was found; `poison`: lines that could not be read."""
        self._close()
        for silence in self._domains.left():
            if silence.task.stored.sequence <= self._domains.settled:
                self._judge_silence(silence)
            elif self._domains.breaks(silence) is not None:
                self._unsettled(silence)
        unread = tuple(poison)
        return Report(
            events=self._count,
            first=self._events[0] if self._events else 0,
            last=self._events[-1] if self._events else 0,
            decisions=self._decisions,
            same=self._same,
            silences=self._silences,
            differences=tuple(sorted(self._differences, key=lambda each: each.sequence)),
            unjudged=tuple(self._unjudged),
            poison=(*unread, *self._poison),
            unread_lines=len(unread),
        )

    def _note(self, stored: StoredEvent) -> None:
        stream = stored.event.stream
        if stored.stream_version != self._at.get(stream, 0) + 1:
            self._holes.add(stream)
        self._at[stream] = stored.stream_version

    def _begun(self, stored: StoredEvent) -> Pending | None:
        event = stored.event
        if (name := r.controller_of(event)) is not None:
            return self._of_run(name, stored)
        if event.type in ADMITTED and event.actor == "controller:resources":
            return self._of_admission(stored)
        if event.type in d.HEADS and event.actor.startswith("controller:"):
            return self._of_domain(event.actor.removeprefix("controller:"), stored)
        return None

    def _of_run(self, name: str, head: StoredEvent) -> Pending:
        by = read_decided(head.event.data)
        expected, why = None, ""
        try:
            expected = events_of(self._runs.again(name, head).appends, _RUNS)
        except Unknown as unknown:
            why = str(unknown)
        causes = {head.event.causation_id}
        expected = None if expected is None else [each for each in expected if each.id not in causes]
        return Pending(
            head=head,
            controller=name,
            recorded_version=by.version if by else 1,
            version=version_of(name),
            source=None,
            expected=expected,
            why=why,
            recorded=[head],
            kinds=_RUNS,
        )

    def _of_admission(self, head: StoredEvent) -> Pending:
        intent, why = self._domains.source(head.event.causation_id), ""
        expected: list[Event] | None = None
        if intent is None:
            why = "the wish is not in this history"
        else:
            try:
                expected = events_of(self._domains.admitted(intent, head.event.time).appends)[1:]
            except (Refused, NotFound) as refused:
                expected, why = [], f"{refused.code}: {refused}"
        return Pending(
            head=head,
            controller="resources",
            recorded_version=self._recorded("resources") or 1,
            version=version_of("resources"),
            source=intent,
            expected=expected,
            why=why,
            recorded=[head],
        )

    def _of_domain(self, name: str, head: StoredEvent) -> Pending:
        again = self._domains.again(name, head)
        known = self._registry.controllers.get(name)
        recorded_version = _version(head.event) or self._versions.get(name, 1)
        self._versions[name] = recorded_version
        if again.task is not None:
            for silence in self._domains.heard(name, again.task):
                self._judge_silence(silence)
        concluded = again.concluded
        return Pending(
            head=head,
            controller=name,
            recorded_version=recorded_version,
            version=known.VERSION if known else None,
            source=again.task.stored if again.task else self._domains.source(head.event.causation_id),
            expected=None if concluded is None else events_of(concluded.appends),
            why=again.why,
            failure=concluded.failure if concluded else "",
            recorded=[head],
        )

    def _close(self) -> None:
        decision, self._open = self._open, None
        if decision is None or not self._wanted(decision.head):
            return
        letter = decision.letter()
        if letter is not None and letter.code.startswith(_OUTSIDE):
            self._poison.append(decision.poison(letter))
        elif decision.expected is None and decision.version is not None:
            self._unjudged.append(decision.unjudged(decision.why))
        elif decision.head.event.stream in self._holes:
            self._unjudged.append(decision.unjudged("earlier events of its stream are not in this history"))
        else:
            self._judge(decision, letter)

    def _judge(self, decision: Pending, letter: DeadLettered | None) -> None:
        self._decisions += 1
        if letter is not None and decision.failure:
            self._poison.append(decision.poison(letter))
        found = changes(decision.judged(), decision.expected or (), self._registry.upcasters)
        if found:
            self._differences.append(decision.difference(letter, found))
        else:
            self._same += 1

    def _judge_silence(self, silence: Silence) -> None:
        if not self._wanted(silence.task.stored):
            return
        concluded = self._domains.breaks(silence)
        if concluded is None:
            self._silences += 1
            return
        self._differences.append(self._spoken(silence, concluded))

    def _spoken(self, silence: Silence, concluded: Conclusion) -> Difference:
        task = silence.task
        event, controller = task.stored.event, task.controller
        recorded = self._versions.get(controller.NAME, self._recorded(controller.NAME))
        return Difference(
            sequence=task.stored.sequence,
            event_id=str(event.id),
            event_type=event.type,
            tenant=event.stream.tenant,
            resource=resource_words(task.stream),
            controller=controller.NAME,
            recorded_version=recorded,
            version=controller.VERSION,
            declared=recorded < controller.VERSION,
            what="fails now" if concluded.failure else "decides now",
            changes=changes((), events_of(concluded.appends), self._registry.upcasters),
        )

    def _recorded(self, name: str) -> int:
        return max((rules.controllers.get(name, 0) for rules in self._runs.rules.values()), default=0)

    def _unsettled(self, silence: Silence) -> None:
        if self._wanted(silence.task.stored):
            name, why = silence.task.controller.NAME, "nobody has decided upon it, or upon anything later"
            self._unjudged.append(Unjudged(sequence=silence.task.stored.sequence, controller=name, why=why))


def _version(event: Event) -> int | None:
    version = event.data.get("controllerVersion")
    return version if isinstance(version, int) else None
