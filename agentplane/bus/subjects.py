"""The only subject strings. Pure.

Corridor:   agentplane.<tenant>.<phase>.<Kind>.<type>      (type last, it has dots)
Executors:  agentplane-executor.<name>.{report,heartbeat,log.<tenant>.<run>.<channel>,artifact,wake}
            agentplane-executor.<name>.key                  (its next keys)
Joining:    agentplane-join.<public nkey>.request
Queries:    agentplane-query.<tenant>.<query>
Attesting:  agentplane-attest.<tenant>.executor-keys        (of control, which signs the answer)
Alias in:   eventplane.<kind>.intent                        (Eventplane's README form)
"""

import re
from typing import Final

from agentplane.errors import Refused
from agentplane.events.model import Phase

INTENTS: Final = "AGENTPLANE_INTENTS"  # work queue: intents and reports wait here until control has stored them
EVENTS: Final = "AGENTPLANE_EVENTS"  # limits: what the relay published, for watchers
LOGS: Final = "AGENTPLANE_LOGS"  # limits, not durable: console output while and shortly after a run

STREAM_SUBJECTS: Final[dict[str, tuple[str, ...]]] = {
    INTENTS: ("agentplane.*.intent.>", "eventplane.*.intent", "agentplane-executor.*.report"),
    EVENTS: ("agentplane.*.fact.>", "agentplane.*.internal.>"),
    LOGS: ("agentplane-executor.*.log.>",),
}

TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
TYPE: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


_INBOX: Final = re.compile(r"_INBOX(\.[^.*>\s]+){2,}")
_SERVER_INBOX: Final = re.compile(r"\$SYS\._INBOX(\.[^.*>\s]+)+")


def is_inbox(subject: str, *, asked: str) -> bool:
    """Whether an answer to what was asked on `asked` may go to `subject`: only the server has inboxes below $SYS."""
    inbox = _SERVER_INBOX if asked.startswith("$SYS.") else _INBOX
    return inbox.fullmatch(subject) is not None


def _token(value: str, what: str) -> str:
    if not TOKEN.fullmatch(value):
        raise Refused(f"{what} {value!r} may only have letters, digits, '_' and '-' (at most 63)", code="subject.token")
    return value


def event_subject(tenant: str, phase: Phase, kind: str, type_: str) -> str:
    """The subject of an event. Raises Refused for a token that would change the grammar."""
    if not TYPE.fullmatch(type_):
        raise Refused(f"event type {type_!r} is not dotted lower-case words", code="subject.type")
    return f"agentplane.{_token(tenant, 'tenant')}.{phase}.{_token(kind, 'kind')}.{type_}"


def report(executor: str) -> str:
    """Where an executor's journal records enter."""
    return f"agentplane-executor.{_token(executor, 'executor')}.report"


def heartbeat(executor: str) -> str:
    """Request-reply: HeartbeatRequest in, HeartbeatReply out."""
    return f"agentplane-executor.{_token(executor, 'executor')}.heartbeat"


def wake(executor: str) -> str:
    """A nudge that an executor should heartbeat now (an assignment waits)."""
    return f"agentplane-executor.{_token(executor, 'executor')}.wake"


def log(executor: str, tenant: str, run: str, channel: str = "console") -> str:
    """What one run says while it goes: its `console` as raw bytes, its `events` as JSON lines."""
    own = f"agentplane-executor.{_token(executor, 'executor')}.log"
    return f"{own}.{_token(tenant, 'tenant')}.{_token(run, 'run')}.{_token(channel, 'channel')}"


def artifact(executor: str) -> str:
    """Request-reply to an executor: a bounded piece of an artifact file."""
    return f"agentplane-executor.{_token(executor, 'executor')}.artifact"


def next_key(executor: str) -> str:
    """Request-reply: KeyAnnouncement in, AnnouncementReply out."""
    return f"agentplane-executor.{_token(executor, 'executor')}.key"


def join(nkey: str) -> str:
    """Request-reply: JoinRequest in, JoinReply out. All that somebody whom nobody knows may say."""
    return f"agentplane-join.{_token(nkey, 'key')}.request"


def query(tenant: str, name: str) -> str:
    """Request-reply to the query service."""
    return f"agentplane-query.{_token(tenant, 'tenant')}.{_token(name, 'query')}"


def attest(tenant: str, name: str) -> str:
    """Request-reply to control: what it signs about one of the tenant's runs."""
    return f"agentplane-attest.{_token(tenant, 'tenant')}.{_token(name, 'name')}"


def executor_of(subject: str) -> str:
    """The executor that a report, heartbeat or log subject belongs to (NATS permissions make it true)."""
    return subject.split(".")[1]


def tenant_of(subject: str) -> str:
    """The tenant that a corridor or query subject belongs to (NATS permissions make it true)."""
    return subject.split(".")[1]
