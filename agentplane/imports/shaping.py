"""From a line to the event that is stored: tenant, id, stream and causes are ours to say. Pure.

Two rules keep an import from speaking with authority that it does not have:

- What only the control plane says (types `run.*`, `resource.*` and the like, resources of a declared kind, intents, and
  whatever a controller or executor did) stands in the namespace `imported.<namespace>`. It is history: shown, folded
  into views of its own, never acted upon. No document can name such a namespace, so it never meets a native stream.
- An id that a controller could derive is replaced by one derived from it and the tenant, so nobody can take an id
  before its owner does.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from agentplane.domains.facts import RESERVED, FactType
from agentplane.domains.registry import Registry
from agentplane.domains.resource import RESERVED_KINDS
from agentplane.domains.work.aliases import correlation_uuid, event_uuid
from agentplane.domains.work.streams import FOREIGN, MAX_NAME_CHARS
from agentplane.domains.work.streams import stream_of as foreign_stream
from agentplane.events.digest import body_digest, encode_data
from agentplane.events.model import Event, Phase, StreamId
from agentplane.events.origin import imported_namespace
from agentplane.ids import NAMESPACE, EventId
from agentplane.imports.model import Known, Line

NOT_PEOPLE: Final = ("controller:", "executor:", "system:")


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation knows: whose tenant, which kinds are resources, which facts are typed."""

    tenant: str
    kinds: frozenset[str]
    facts: Mapping[str, FactType]


def rules_of(tenant: str, registry: Registry) -> Rules:
    """The rules of one tenant of an installation."""
    return Rules(tenant=tenant, kinds=frozenset(registry.kinds), facts=registry.facts)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a line. `conflict`: (stored, given) digests, hex; neither: store `event`."""

    event: Event
    digest: bytes
    duplicate: bool = False
    conflict: tuple[str, str] | None = None


def ids_of(line: Line, tenant: str) -> tuple[uuid.UUID, ...]:
    """Every id under which the tenant's log may have a line's event: as said, as stored, and out of others' way."""
    if (said := _uuid(line.id)) is None:
        return (event_uuid(tenant, line.id),)
    return tuple(dict.fromkeys((said, event_uuid(tenant, line.id), evading_id(tenant, line.id))))


def evading_id(tenant: str, given: str) -> EventId:
    """The id of an event whose own id is another tenant's here."""
    return EventId(uuid.uuid5(NAMESPACE, f"event/{tenant}/{given}"))


def judge(line: Line, rules: Rules, known: Mapping[uuid.UUID, Known], taken: Collection[uuid.UUID] = ()) -> Judged:
    """The event of a line, and whether the log has it already.

    `known`: what the tenant's log has under `ids_of`, and under its cause. `taken`: ids of other tenants' events.

    Raises:
        Refused: code `event.data`: the data have no canonical form.
    """
    event = shaped(line, rules, known, taken)
    digest = body_digest(event, encode_data(event.data))
    for candidate in ids_of(line, rules.tenant):
        if (stored := known.get(candidate)) is None:
            continue
        given = {_digest(each) for each in _readings(line, event, EventId(candidate), stored)} | {digest}
        if stored.digest in given:
            return Judged(event=event, digest=digest, duplicate=True)
        return Judged(event=event, digest=digest, conflict=(stored.digest.hex(), digest.hex()))
    return Judged(event=event, digest=digest)


def shaped(
    line: Line, rules: Rules, known: Mapping[uuid.UUID, Known] | None = None, taken: Collection[uuid.UUID] = ()
) -> Event:
    """The event as it is to be stored."""
    tenant = rules.tenant
    id_ = event_uuid(tenant, line.id)
    if id_ in taken:
        id_ = evading_id(tenant, line.id)
    return Event(
        id=id_,
        stream=_stream(line, rules),
        phase=line.phase,
        type=line.type,
        type_version=line.type_version,
        actor=line.actor,
        time=line.time,
        correlation_id=id_ if line.correlation is None else correlation_uuid(tenant, line.correlation),
        causation_id=None if line.cause is None else _cause(line.cause, tenant, known or {}),
        data=line.data,
    )


def only_control_says(line: Line, rules: Rules) -> bool:
    """Whether a line claims what nobody outside the control plane may say here."""
    family = line.type.partition(".")[0]
    if family in RESERVED or line.phase is not Phase.FACT or line.actor.startswith(NOT_PEOPLE):
        return True
    if line.type in rules.facts:  # anybody may record these
        return False
    return line.kind in rules.kinds or (line.kind in RESERVED_KINDS and line.kind != FOREIGN)


def _stream(line: Line, rules: Rules) -> StreamId:
    if only_control_says(line, rules):
        kind = line.kind or FOREIGN
        name = line.name or line.type.partition(".")[0][:MAX_NAME_CHARS]
        return StreamId(rules.tenant, kind, imported_namespace(line.namespace or "default"), name)
    if (fact := rules.facts.get(line.type)) is not None:
        return fact.stream(rules.tenant, line.type, line.data, line.actor)
    if line.kind is not None and line.name is not None:
        return StreamId(rules.tenant, line.kind, line.namespace or "default", line.name)
    found = foreign_stream(rules.tenant, line.type, line.data, line.actor)
    if found.kind in rules.kinds:  # an unknown type has no business on the stream of a resource
        return StreamId(rules.tenant, FOREIGN, found.namespace, line.type.partition(".")[0][:MAX_NAME_CHARS])
    return found


def _cause(cause: str, tenant: str, known: Mapping[uuid.UUID, Known]) -> uuid.UUID:
    """The cause as the log has it: itself where it is there under its own id, else the id an import gives it."""
    said = _uuid(cause)
    return said if said is not None and said in known else event_uuid(tenant, cause)


def _readings(line: Line, event: Event, id_: EventId, stored: Known) -> Iterator[Event]:
    """The line read as what the log has: its id and stream, and its cause and correlation as the line says them."""
    readings = msgspec.structs.replace(
        event,
        id=id_,
        stream=stored.stream if line.kind is None else _own_stream(line, event.stream.tenant, stored.stream),
        phase=stored.phase if line.kind is None else line.phase,
        type_version=stored.type_version if line.kind is None else line.type_version,
    )
    causes = {event.causation_id, _uuid(line.cause) if line.cause else None}
    correlations = {event.correlation_id, id_ if line.correlation is None else event.correlation_id}
    for cause in causes:
        for correlation in correlations:
            yield msgspec.structs.replace(readings, causation_id=cause, correlation_id=correlation)


def _own_stream(line: Line, tenant: str, stored: StreamId) -> StreamId:
    said = StreamId(tenant, line.kind or FOREIGN, line.namespace or "default", line.name or "")
    there = stored if (stored.kind, stored.name) == (said.kind, said.name) else said
    return there if there.namespace in {said.namespace, imported_namespace(said.namespace)} else said


def _digest(event: Event) -> bytes:
    return body_digest(event, encode_data(event.data))


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
