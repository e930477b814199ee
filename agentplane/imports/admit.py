"""What becomes of a batch of lines: pure, decided by control upon what the log has; the importer foretells it alike."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec

from agentplane.clock import EARLIEST
from agentplane.controllers.decision import Decision
from agentplane.domains.facts import FactType, check, decode, find, problem
from agentplane.errors import AgentplaneError, NotFound, Refused
from agentplane.events.codec import data_of, payload
from agentplane.events.model import Append, Event, Phase
from agentplane.events.secrets import find_secrets, may_hold_secret
from agentplane.ids import derived_id
from agentplane.imports.model import (
    IMPORTED,
    MAX_BATCH,
    MAX_REPORTED,
    EventsImported,
    ImportRequested,
    Known,
    Line,
    RefusedLine,
)
from agentplane.imports.shaping import Judged, Rules, ids_of, judge, only_control_says
from agentplane.store.prepare import prepare

CONTROLLER: Final = "import"
VERSION: Final = 1


def fact_id(intent_id: uuid.UUID) -> uuid.UUID:
    """The id of the fact that says what became of a batch."""
    return derived_id(intent_id, CONTROLLER, VERSION, 0)


def lookups(intent: Event) -> tuple[uuid.UUID, ...]:
    """Every id that deciding a batch has to know about. Raises Refused `event.payload`."""
    wish, tenant = payload(intent, ImportRequested), intent.stream.tenant
    ids = [fact_id(intent.id)]
    for line in wish.lines:
        ids.extend(ids_of(line, tenant))
        if line.cause is not None and (cause := _uuid(line.cause)) is not None:
            ids.append(cause)
    return tuple(dict.fromkeys(ids))


def decide(
    intent: Event, rules: Rules, known: Mapping[uuid.UUID, Known], taken: Collection[uuid.UUID], now: datetime
) -> Decision:
    """Store what is new, in order, and one fact about the batch. A batch that was decided before: nothing.

    Raises:
        Refused: `event.payload`, `import.batch` (too many lines), or the first line's reason where the batch is all
            or nothing; `import.conflict`: the log has the id with another body, and both digests are named.
    """
    if fact_id(intent.id) in known:
        return Decision()
    wish = payload(intent, ImportRequested)
    if len(wish.lines) > MAX_BATCH:
        raise Refused(f"{len(wish.lines)} lines in a batch; at most {MAX_BATCH}", code="import.batch")
    appends: list[Append] = []
    reasons: list[RefusedLine] = []
    for line in wish.lines:
        try:
            if wish.strict:
                check_strictly(line, rules)
            judged = admit(line, rules, known, taken, now)
        except AgentplaneError as error:
            if not wish.skip:
                raise Refused(f"line {line.number}: {error}", code=error.code, hint=error.hint) from error
            reasons.append(RefusedLine(number=line.number, code=error.code, message=error.message))
            continue
        if not judged.duplicate:
            appends.append(Append(stream=judged.event.stream, expected_version=None, events=(judged.event,)))
    stored = len(appends)
    report = EventsImported(
        batch=wish.batch,
        source=wish.source,
        stored=stored,
        duplicates=len(wish.lines) - stored - len(reasons),
        refused=len(reasons),
        reasons=tuple(reasons[:MAX_REPORTED]),
    )
    fact = _fact(intent, report, now)
    appends.append(Append(stream=fact.stream, expected_version=None, events=(fact,)))
    return Decision(appends=tuple(appends))


def admit(
    line: Line, rules: Rules, known: Mapping[uuid.UUID, Known], taken: Collection[uuid.UUID], now: datetime
) -> Judged:
    """One line, held to everything an event must be.

    Raises:
        Refused: as `agentplane.store.prepare`, and `event.data-invalid`, `import.conflict`, `import.time`.
    """
    _check_secrets(line)
    _check_time(line)
    judged = judge(line, rules, known, taken)
    if judged.conflict is not None:
        stored, given = judged.conflict
        raise Refused(
            f"event {line.id[:80]} is stored with another body: stored sha256:{stored}, given sha256:{given}",
            code="import.conflict",
            hint="an id names one event for ever; a different event needs an id of its own",
        )
    event = judged.event
    prepare((Append(stream=event.stream, expected_version=None, events=(event,)),), now)
    check_fact(line, rules.facts)
    return judged


def check_strictly(line: Line, rules: Rules) -> None:
    """Hold an event that somebody records by hand to the catalogue, so that slips of the pen are seen.

    Raises:
        Refused: `event.type-unknown`, `event.data-invalid`, `event.type-reserved`: only the control plane says that.
    """
    if only_control_says(line, rules):
        raise Refused(f"{line.type[:80]} is said by the control plane only", code="event.type-reserved")
    try:
        fact = find(rules.facts, line.type)
    except NotFound as unknown:
        raise Refused(unknown.message, code=unknown.code, hint=unknown.hint) from unknown
    if fact is not None:
        check(fact, line.data)


def check_fact(line: Line, facts: Mapping[str, FactType]) -> None:
    """Hold the data of a typed fact to its struct; fields that it does not declare, and unknown types, are kept.

    Raises:
        Refused: `event.data-invalid`: the field is named, its value is not.
    """
    if (fact := facts.get(line.type)) is None:
        return
    try:
        decode(fact.data, line.data)
    except (msgspec.ValidationError, RecursionError) as exc:
        hint = f"agentplane schema {line.type}"
        raise Refused(f"data of {line.type}: {problem(exc)}", code="event.data-invalid", hint=hint) from None


def _check_time(line: Line) -> None:
    """Whoever hands lines in himself may write what no database can read back."""
    if line.time.tzinfo is None:
        raise Refused("its time has no offset", code="import.time")
    if line.time < EARLIEST:
        raise Refused(f"its time is before {EARLIEST:%-d %B} of year 1", code="import.time")


def _check_secrets(line: Line) -> None:
    """A line as a whole: a secret may also stand where the envelope comes from."""
    if not may_hold_secret(msgspec.json.encode(line)):
        return
    if found := find_secrets(msgspec.to_builtins(line), "line"):
        places = ", ".join(f"{secret.path} ({secret.shape})" for secret in found)
        hint = "keep the value in a secret store and write a handle: secret://NAME"
        raise Refused(f"something that looks like a secret stands in {places}", code="store.secret", hint=hint)


def _fact(intent: Event, report: EventsImported, now: datetime) -> Event:
    return Event(
        id=derived_id(intent.id, CONTROLLER, VERSION, 0),
        stream=intent.stream,
        phase=Phase.FACT,
        type=IMPORTED,
        actor=intent.actor,
        time=now,
        correlation_id=intent.correlation_id,
        causation_id=None,
        data=data_of(report),
    )


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
