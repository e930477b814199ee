"""What a JetStream consumer hands over: one message and its verdicts, and where an ordered follower stands."""

import secrets
from typing import Final

import msgspec

from agentplane.bus.link import Link
from agentplane.bus.reading import Delivered

_NANOSECONDS: Final = 1_000_000_000
_FOLLOWER_IDLE_S: Final = 60


class _PubAck(msgspec.Struct, forbid_unknown_fields=True):
    stream: str
    seq: int
    duplicate: bool = False
    domain: str = ""


def is_stray_acknowledgement(raw: Delivered) -> bool:
    """Whether this is the server's answer to a publisher who named a subject of ours as the place for the answer.

    The server sends it there whatever the publisher may publish, so a person of one tenant can put such bytes (and no
    others) on another's intent subject. Nothing that we publish looks like it.
    """
    if not raw.bare:
        return False
    try:
        msgspec.json.decode(raw.data, type=_PubAck)
    except msgspec.DecodeError:
        return False
    return True


class NatsMessage:
    """One delivered message. `sequence` is its place in the stream, for `follow(start_sequence=…)`.

    Losing a verdict costs a redelivery, which every consumer must bear anyway.
    """

    __slots__ = ("_link", "_raw")

    def __init__(self, link: Link, raw: Delivered) -> None:
        self._link = link
        self._raw = raw

    @property
    def subject(self) -> str:
        """Where it was published."""
        return self._raw.subject

    @property
    def data(self) -> bytes:
        """Its body."""
        return self._raw.data

    @property
    def headers(self) -> dict[str, str]:
        """Its headers."""
        return self._raw.headers

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this time included."""
        return int(self._raw.metadata.num_delivered)

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        return int(self._raw.metadata.sequence.stream)

    async def ack(self) -> None:
        """Done. When the acknowledgement is lost, it comes again."""
        self._link.verdicts.add(self._raw.reply, b"+ACK")

    async def nak(self, delay_s: float) -> None:
        """Deliver it again after a delay."""
        self._link.verdicts.add(self._raw.reply, b'-NAK {"delay": %d}' % int(delay_s * _NANOSECONDS))

    async def term(self, reason: str) -> None:
        """Never deliver it again."""
        words = reason.replace("\r", " ").replace("\n", " ").encode()[:200]
        self._link.verdicts.add(self._raw.reply, b"+TERM " + words)


class Following:
    """Where an ordered follower stands: its ephemeral consumer, and the last stream sequence it has seen."""

    def __init__(self, link: Link, stream: str, subject: str, start: int) -> None:
        self._link = link
        self._stream = stream
        self._subject = subject
        self._next = start
        self._identity: str | None = None
        self._consumer = ""
        self._delivered = 0

    async def ensure(self) -> str:
        """A new ephemeral consumer from where we are; from the beginning when the stream is another one."""
        identity = str((await self._link.api(f"STREAM.INFO.{self._stream}"))["created"])
        if self._identity not in (None, identity):
            self._next = 1
        self._identity = identity
        self._consumer = f"follow-{secrets.token_hex(8)}"
        self._delivered = 0
        config = {
            "name": self._consumer,
            "filter_subject": self._subject,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "replay_policy": "instant",
            "inactive_threshold": _FOLLOWER_IDLE_S * _NANOSECONDS,
            "mem_storage": True,
        }
        operation = f"CONSUMER.CREATE.{self._stream}.{self._consumer}.{self._subject}"
        await self._link.api(operation, {"stream_name": self._stream, "config": config})
        return self._consumer

    def admit(self, raw: Delivered) -> str:
        """`take`, `stale` (of a consumer we gave up) or `gap` (something was lost on the way)."""
        metadata = raw.metadata
        if metadata.consumer != self._consumer:
            return "stale"
        if metadata.sequence.consumer != self._delivered + 1:
            return "gap"
        self._delivered += 1
        self._next = metadata.sequence.stream + 1
        return "take"
