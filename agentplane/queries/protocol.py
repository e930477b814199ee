"""What can be asked (`agentplane-query.<tenant>.<name>`) and what is answered. Pure.

The tenant is in the subject only, where NATS permissions make it true. An answer is `{"ok": …}` or
`{"error": {"class", "code", "message", "where", "hint"}}`. Pages end where `next` is null, or at the size limit.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from agentplane import __version__, errors
from agentplane.errors import AgentplaneError
from agentplane.history.filters import EventFilter
from agentplane.history.places import Place
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.executors import ExecutorView
from agentplane.projections.notices import Notice
from agentplane.projections.run_view import RunSummary
from agentplane.projections.status import Rebuilt, Status
from agentplane.runs.model import Wire

# Rises when something new can be asked (a test holds the questions to it). Every answer says it, and of which version
# of agentplane it is, so whoever asks can tell another version from a defect.
PROTOCOL: Final = 4
MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_PAGE_BYTES: Final = 1024 * 1024  # a page may exceed it by its last item
MAX_PAGE: Final = 1000

RUNS_LIST: Final = "runs-list"
RUN_GET: Final = "run-get"
RUN_LOGS: Final = "run-logs"
EXECUTORS_LIST: Final = "executors-list"
EVENTS_LIST: Final = "events-list"
EVENTS_GET: Final = "events-get"
EVENTS_STATS: Final = "events-stats"
EVIDENCE_GET: Final = "evidence-get"
PROJECTIONS_STATUS: Final = "projections-status"
PROJECTIONS_REBUILD: Final = "projections-rebuild"


class RunsList(Wire, frozen=True, kw_only=True):
    """Newest first; `before` continues where a page ended. `at`: as it was there, folded from the log."""

    limit: int = 50
    before: int | None = None
    state: str | None = None
    lane: str | None = None
    executor: str | None = None
    at: Place | None = None


class RunsPage(Wire, frozen=True, kw_only=True):
    """`next` is the `before` of the next page."""

    runs: tuple[RunSummary, ...]
    next: int | None


class RunGet(Wire, frozen=True, kw_only=True):
    """Answered by a RunView. `run`: its name or any prefix that fits only one run.

    `min_sequence`: wait (a few seconds at most) until the view has seen this event. `at`: as it was there.
    """

    run: str
    min_sequence: int = 0
    at: Place | None = None


class RunLogs(Wire, frozen=True, kw_only=True):
    """What a run said, as far as the bus still holds it, after a place in it. `channel`: console or events."""

    run: str
    after: int = 0
    channel: str = "console"


class LogsPage(Wire, frozen=True, kw_only=True):
    """`next` is the `after` of the next page. `ended`: the run is over and nothing more is kept."""

    run: str
    chunks: tuple[bytes, ...]
    next: int
    ended: bool


class ExecutorsList(Wire, frozen=True, kw_only=True):
    """All executors of the platform. `at`: as they were there."""

    at: Place | None = None


class ExecutorLine(Wire, frozen=True, kw_only=True):
    """An executor; of its leases only the asking tenant's are named, others are counted."""

    executor: ExecutorView
    other_leases: int


class ExecutorsPage(Wire, frozen=True, kw_only=True):
    """In order of name."""

    executors: tuple[ExecutorLine, ...]


class EventsList(EventFilter, frozen=True, kw_only=True):
    """The tenant's events that match, in order, after < sequence.

    `since`: from this place on; `until`: up to it, both inclusive. `newest`: the last ones instead of the first.
    """

    after: int = 0
    since: Place | None = None
    until: Place | None = None
    limit: int = 100
    newest: bool = False


class EventsPage(Wire, frozen=True, kw_only=True):
    """CloudEvents, JSON mode. `next` is the `after` of the next page; None: there are no more now.

    `seen`: everything up to this sequence was looked at, so that a follower may ask from there. `older`: of a page of
    the newest, whether there are more before it.
    """

    events: tuple[msgspec.Raw, ...]
    next: int | None
    seen: int = 0
    older: bool = False


class EventGet(Wire, frozen=True, kw_only=True):
    """One of the tenant's events, by its id or its sequence number in decimal."""

    event: str


class EventsStats(EventFilter, frozen=True, kw_only=True):
    """How many events there are of each `by`: type, kind, phase, actor or name."""

    by: str = "type"
    since: Place | None = None
    until: Place | None = None
    limit: int = 1000


class EventsGroup(Wire, frozen=True, kw_only=True):
    """Events of one value; `first` and `last` are sequences."""

    value: str
    count: int
    first: int
    last: int
    last_recorded_at: datetime


class EventsGroups(Wire, frozen=True, kw_only=True):
    """The most frequent first."""

    groups: tuple[EventsGroup, ...]


class EvidenceGet(Wire, frozen=True, kw_only=True):
    """Envelopes of a run (name or unique prefix) in the order they were committed."""

    run: str
    after: int = 0
    limit: int = 100


class EvidencePage(Wire, frozen=True, kw_only=True):
    """`run`: its full name. `next` is the `after` of the next page."""

    run: str
    rows: tuple[EvidenceRow, ...]
    next: int | None


class ProjectionsStatus(Wire, frozen=True, kw_only=True):
    """How the projections do."""


class ProjectionsPage(Wire, frozen=True, kw_only=True):
    """In order of name."""

    projections: tuple[Status, ...]


class ProjectionsRebuild(Wire, frozen=True, kw_only=True):
    """Fold anew and compare. None: all of them."""

    projection: str | None = None


class RebuildPage(Wire, frozen=True, kw_only=True):
    """What the rebuilds found."""

    rebuilt: tuple[Rebuilt, ...]


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """An error of agentplane.errors on the wire."""

    class_: str = msgspec.field(name="class")
    code: str
    message: str
    where: str | None = None
    hint: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader finds: one of the two. No `ok` is no bytes, since `null` could be an answer."""

    ok: msgspec.Raw = msgspec.Raw()
    error: Error | None = None
    protocol: int = 1  # of who answers; those that do not say it speak 1
    version: str = ""  # of agentplane, there; those before protocol 3 do not say it
    notices: msgspec.Raw = msgspec.Raw()  # of agentplane.projections.notices; read apart, since nothing hangs on them


def answered(value: Any) -> bytes:  # noqa: ANN401 - any struct of this module
    """The bytes of a good answer."""
    return b'{"protocol":%d,"version":"%b","ok":%b}' % (PROTOCOL, __version__.encode(), msgspec.json.encode(value))


def failed(error: AgentplaneError) -> bytes:
    """The bytes of an error."""
    known = next(cls for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    return msgspec.json.encode(
        {
            "protocol": PROTOCOL,
            "version": __version__,
            "error": Error(
                class_=known.__name__, code=error.code, message=error.message, where=error.where, hint=error.hint
            ),
        }
    )


def noticed(answer: bytes, notices: tuple[Notice, ...]) -> bytes:
    """An answer with what there is to say of the read models that it is from."""
    return answer[:-1] + b',"notices":' + msgspec.json.encode(notices) + b"}" if notices else answer


def raised(error: Error) -> AgentplaneError:
    """The exception that an error on the wire stands for; one of a class not known here is Broken."""
    known = vars(errors).get(error.class_)
    cls = known if isinstance(known, type) and issubclass(known, AgentplaneError) else errors.Broken
    return cls(error.message, code=error.code, where=error.where, hint=error.hint)
