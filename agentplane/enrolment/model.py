"""What is remembered of an executor's membership: folded from its stream, seen by control and by people alike. Pure."""

from datetime import datetime
from typing import Final

from agentplane.runs.model import Wire

KEY_REVOKED: Final = "key-revoked"
KEY_EXPIRED: Final = "key-expired"
PHASES: Final = ("declared", "invited", "pending", "approved", "draining", "retired", "revoked")  # Enrolment.phase


class Change(Wire, frozen=True, kw_only=True):
    """Who did something, why and when."""

    by: str
    reason: str
    at: datetime

    def words(self) -> str:
        """`since 2026-01-31T12:00:00Z by user:alice (new disks)`."""
        why = f" ({self.reason})" if self.reason else ""
        return f"since {self.at:%Y-%m-%dT%H:%M:%SZ} by {self.by}{why}"


class EnrolledKey(Wire, frozen=True, kw_only=True):
    """An executor's pair of public keys, and from when to when it counts."""

    key_id: str
    public_key: str  # SubjectPublicKeyInfo (DER), base64
    nkey: str
    since: datetime
    until: datetime | None = None  # None: as long as the executor is ours


class Pending(Wire, frozen=True, kw_only=True):
    """Somebody who asks for the name."""

    key_id: str
    public_key: str
    nkey: str
    at: datetime


class JoinToken(Wire, frozen=True, kw_only=True):
    """A one-time token, by its hash."""

    token_hash: str
    expires_at: datetime
    zone: str | None
    by: str
    used_by: str | None = None  # key id; None: not yet


class Rotation(Wire, frozen=True, kw_only=True):
    """New keys were asked for and have not come yet."""

    overlap_s: int
    by: str
    at: datetime


class Skew(Wire, frozen=True, kw_only=True):
    """How far its clock was off when that was noticed; positive: ahead."""

    skew_s: int
    limit_s: int
    at: datetime

    def words(self) -> str:
        """`its clock is 312 s ahead, more than 60 s`."""
        where = "ahead" if self.skew_s > 0 else "behind"
        return f"its clock is {abs(self.skew_s)} s {where}, more than {self.limit_s} s"


class Enrolment(Wire, frozen=True, kw_only=True):
    """An executor's membership."""

    keys: tuple[EnrolledKey, ...] = ()  # the newest last; those given by configuration are not among them
    pending: tuple[Pending, ...] = ()
    tokens: tuple[JoinToken, ...] = ()
    zone: str | None = None
    approved: Change | None = None  # None: never asked to join, or declared by configuration
    draining: Change | None = None
    retired: Change | None = None
    revoked: Change | None = None
    rotation: Rotation | None = None
    clock: Skew | None = None

    @property
    def left(self) -> bool:
        """Whether it is not ours any more."""
        return self.retired is not None or self.revoked is not None

    @property
    def phase(self) -> str:
        """One word: revoked, retired, draining, approved, pending, invited, declared."""
        for word, holds in (
            ("revoked", self.revoked),
            ("retired", self.retired),
            ("draining", self.draining),
            ("approved", self.approved),
            ("pending", self.pending),
            ("invited", self.tokens),
        ):
            if holds:
                return word
        return "declared"

    def key(self, key_id: str) -> EnrolledKey | None:
        """The enrolled key with this id."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def mark(self, key_id: str, now: datetime) -> str:
        """What is to be said of a statement that is signed with this key now: nothing, key-revoked, key-expired."""
        if self.revoked is not None:
            return KEY_REVOKED
        key = self.key(key_id)
        return KEY_EXPIRED if key is not None and key.until is not None and now >= key.until else ""

    def admits(self, nkey: str, now: datetime) -> bool:
        """Whether the bus should let this user key in."""
        valid = any(key.nkey == nkey and (key.until is None or now < key.until) for key in self.keys)
        return valid and not self.left


NONE: Final = Enrolment()


def current(enrolment: Enrolment) -> EnrolledKey | None:
    """The newest key; None: its keys are given by configuration."""
    return enrolment.keys[-1] if enrolment.keys else None
