"""The JetStream streams: what each keeps, for how long, and what it does when full. Pure.

Nothing here is the record: PostgreSQL is. A stream that is lost is made again from these definitions and filled again
by its publishers.
"""

from typing import Any, Final

import msgspec

from agentplane.bus.subjects import EVENTS, INTENTS, LOGS, STREAM_SUBJECTS

_NANOSECONDS: Final = 1_000_000_000
_MIB: Final = 1024 * 1024


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One stream, in our units."""

    name: str
    retention: str  # "workqueue": gone when acknowledged; "limits": gone when old
    storage: str  # "file": durable at acknowledgement; "memory": fast and forgetful
    discard: str  # when full: "new" refuses the publisher, "old" forgets the oldest
    max_age_s: int  # 0: no limit
    max_bytes: int
    max_msg_size_bytes: int
    duplicate_window_s: int  # how long a Nats-Msg-Id is remembered
    atomic: bool  # accepts atomic batches

    def config(self) -> dict[str, Any]:
        """The server's own form (`$JS.API.STREAM.CREATE`)."""
        return {
            "name": self.name,
            "subjects": list(STREAM_SUBJECTS[self.name]),
            "retention": self.retention,
            "storage": self.storage,
            "discard": self.discard,
            "max_age": self.max_age_s * _NANOSECONDS,
            "max_bytes": self.max_bytes,
            "max_msg_size": self.max_msg_size_bytes,
            "duplicate_window": self.duplicate_window_s * _NANOSECONDS,
            "num_replicas": 1,
            "allow_atomic": self.atomic,
            "allow_direct": True,
        }


STREAMS: Final[dict[str, StreamSpec]] = {
    spec.name: spec
    for spec in (
        # An intent that nobody has stored yet must not be pushed out by newer ones: when full, publishers hear it.
        StreamSpec(
            name=INTENTS,
            retention="workqueue",
            storage="file",
            discard="new",
            max_age_s=0,
            max_bytes=512 * _MIB,
            max_msg_size_bytes=2 * _MIB,
            duplicate_window_s=120,
            atomic=False,
        ),
        StreamSpec(
            name=EVENTS,
            retention="limits",
            storage="file",
            discard="old",
            max_age_s=7 * 24 * 3600,
            max_bytes=512 * _MIB,
            max_msg_size_bytes=2 * _MIB,
            duplicate_window_s=120,
            atomic=True,
        ),
        # Console output is for people who watch; fsync per line would slow every guest down.
        StreamSpec(
            name=LOGS,
            retention="limits",
            storage="memory",
            discard="old",
            max_age_s=3600,
            max_bytes=32 * _MIB,
            max_msg_size_bytes=256 * 1024,
            duplicate_window_s=1,
            atomic=False,
        ),
    )
}


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is covered by a NATS pattern (`*`: one token, trailing `>`: one or more)."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, word in enumerate(wanted):
        if word == ">":
            return len(given) > index
        if index >= len(given) or word not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def stream_of(subject: str) -> str | None:
    """The stream that keeps a subject; None: nobody keeps it."""
    for name, patterns in STREAM_SUBJECTS.items():
        if any(matches(pattern, subject) for pattern in patterns):
            return name
    return None
