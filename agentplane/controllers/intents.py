"""The door for intents: what may be decided upon at all. Pure.

An intent is taken when its subject, its envelope and its stream agree about tenant, kind and type; NATS permissions
make the subject's tenant true. The alias `eventplane.<kind>.intent` names no tenant, so it is taken only where there
is one. What is not taken is remembered by the digest of its bytes, never by the bytes.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec

from agentplane.bus.subjects import event_subject, tenant_of
from agentplane.canonical import digest_bytes
from agentplane.controllers.decision import Decision
from agentplane.controllers.drafts import Draft, source_of
from agentplane.domains.deadletters import RETRY_REQUESTED
from agentplane.domains.resource import DEAD_LETTER_KIND
from agentplane.domains.resource import INTENTS as RESOURCES
from agentplane.domains.runs import specs
from agentplane.errors import AgentplaneError, Refused
from agentplane.events.cloudevents import decode
from agentplane.events.model import Event, Phase
from agentplane.ids import DNS_LABEL, is_foreseen
from agentplane.imports.model import IMPORT_REQUESTED
from agentplane.imports.model import KIND as IMPORT
from agentplane.intents.runs import CANCEL_REQUESTED, REQUESTED
from agentplane.runs.executors import SYSTEM_TENANT
from agentplane.runs.facts import RUN_KIND
from agentplane.runs.intents import INTENT_REJECTED, IntentRejected, intent_stream

TYPES: Final = (REQUESTED, CANCEL_REQUESTED)
_ALIAS: Final = "eventplane."
_NOT_PEOPLE: Final = ("controller:", "executor:", "system:")


def open_intent(subject: str, data: bytes, tenants: Collection[str], kinds: Collection[str] = ()) -> Event:
    """The intent in a message. `kinds`: of the resources that may be wished for, besides runs.

    Raises:
        Refused: codes as `cloudevents.decode`, and `intent.tenant`, `intent.phase`, `intent.type`, `intent.version`,
            `intent.id`, `intent.subject`, `intent.stream`, `intent.actor`, `event.payload`.
    """
    event = decode(data)
    _check_tenant(event, subject, tenants)
    if event.phase is not Phase.INTENT:
        raise Refused("an event that is no intent came as one", code="intent.phase")
    resource = event.type in RESOURCES and event.stream.kind in kinds
    retry = event.type == RETRY_REQUESTED and event.stream.kind == DEAD_LETTER_KIND
    known = resource or retry or (event.type, event.stream.kind) == (IMPORT_REQUESTED, IMPORT)
    if not (known or (event.type in TYPES and event.stream.kind == RUN_KIND)):
        raise Refused("no controller knows intents of this type", code="intent.type", hint=f"known: {', '.join(TYPES)}")
    if is_foreseen(event.id):
        raise Refused(
            "ids of this kind are the control plane's own", code="intent.id", hint="make a random one: version 4 or 7"
        )
    if event.type_version != 1:
        raise Refused(
            f"{event.type} of version {event.type_version} is newer than this control plane",
            code="intent.version",
            hint="upgrade the control plane, or use a command line of its version",
        )
    if not subject.startswith(_ALIAS) and subject != _subject(event):
        raise Refused("the subject names another tenant, kind or type than the envelope", code="intent.subject")
    if not known:
        _check_name(event)
        specs.check(event)
    if event.actor.startswith(_NOT_PEOPLE):
        raise Refused("a part of the control plane has no intents", code="intent.actor")
    return event


def reject(subject: str, data: bytes, refused: AgentplaneError, *, tenants: Collection[str], now: datetime) -> Decision:
    """Remember that an intent was not taken."""
    return _reject(subject, data, refused.code, refused.message[:500], tenants, now)


def reject_wordlessly(
    subject: str, data: bytes, refused: AgentplaneError, *, tenants: Collection[str], now: datetime
) -> Decision:
    """As `reject`, without the refusal's words: they seem to repeat what may not be stored."""
    return _reject(subject, data, refused.code, "", tenants, now)


def _reject(  # noqa: PLR0917 - private, the two above name its arguments
    subject: str, data: bytes, code: str, message: str, tenants: Collection[str], now: datetime
) -> Decision:
    digest = digest_bytes(data)
    claimed = tenant_of(subject)
    tenant = claimed if claimed in tenants and not subject.startswith(_ALIAS) else SYSTEM_TENANT
    source = source_of(f"intent/{digest}")
    draft = Draft("intents", source, correlation_id=source, now=now)
    fact = IntentRejected(
        code=code, message=message, subject=subject[:200], digest=digest, size_bytes=len(data), intent_id=_id_of(data)
    )
    draft.add(intent_stream(tenant, digest.removeprefix("sha256:")), 0, INTENT_REJECTED, fact)
    return draft.decision()


def _check_tenant(event: Event, subject: str, tenants: Collection[str]) -> None:
    if event.stream.tenant not in tenants:
        raise Refused("no such tenant here", code="intent.tenant")
    if subject.startswith(_ALIAS) and len(tenants) != 1:
        raise Refused(
            "the alias names no tenant, and there are several here",
            code="intent.tenant",
            hint="publish on agentplane.<tenant>.intent.<Kind>.<type>",
        )


def _check_name(event: Event) -> None:
    name = event.stream.name
    if event.stream.namespace != "default" or not DNS_LABEL.fullmatch(name):
        raise Refused("a run is named by a DNS label in the namespace default", code="intent.stream")
    if event.type == REQUESTED and not name.endswith(f"-{event.id.hex[:12]}"):
        raise Refused("a run's name ends with the first 12 digits of its intent's id", code="intent.stream")


def _subject(event: Event) -> str:
    return event_subject(event.stream.tenant, event.phase, event.stream.kind, event.type)


class _Named(msgspec.Struct):
    id: str


def _id_of(data: bytes) -> str | None:
    """The id that an intent claims, where it can be read and looks like one."""
    try:
        claimed = msgspec.json.decode(data, type=_Named).id
        return claimed if len(claimed) <= 36 and claimed.replace("-", "").isalnum() else None  # noqa: PLR2004 - a UUID
    except (msgspec.DecodeError, RecursionError):
        return None
