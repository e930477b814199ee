"""Payloads of the facts about an executor's membership, and of the wishes that lead to them. Pure.

All stand on the executor's own stream (`system/Executor/default/<name>`), so its history is in one place and in order.
"""

from datetime import datetime
from typing import Final

from agentplane.runs.model import Wire

# what operators wish (phase intent)
TOKEN_REQUESTED: Final = "executor.token-requested"  # noqa: S105 - a type of event
APPROVAL_REQUESTED: Final = "executor.approval-requested"
DRAIN_REQUESTED: Final = "executor.drain-requested"
RESUME_REQUESTED: Final = "executor.resume-requested"
RETIREMENT_REQUESTED: Final = "executor.retirement-requested"
REVOCATION_REQUESTED: Final = "executor.revocation-requested"
ROTATION_REQUESTED: Final = "executor.rotation-requested"

# what happened (phase fact)
TOKEN_CREATED: Final = "executor.token-created"  # noqa: S105 - a type of event
JOIN_REQUESTED: Final = "executor.join-requested"
JOIN_REFUSED: Final = "executor.join-refused"
APPROVED: Final = "executor.approved"
DRAINING: Final = "executor.draining"
RESUMED: Final = "executor.resumed"
RETIRED: Final = "executor.retired"
REVOKED: Final = "executor.revoked"
ROTATION_STARTED: Final = "executor.rotation-started"
KEY_ANNOUNCED: Final = "executor.key-announced"
CLOCK_OFF: Final = "executor.clock-off"
CLOCK_RIGHT: Final = "executor.clock-right"


class PublicKeys(Wire, frozen=True, kw_only=True):
    """The public halves of an executor's two keys."""

    key_id: str  # hex SHA-256 of the signing key's SubjectPublicKeyInfo: its fingerprint
    public_key: str  # that SubjectPublicKeyInfo (DER), base64
    nkey: str  # "U…", what it shows to the bus; "": given to the bus by hand


class TokenRequested(Wire, frozen=True, kw_only=True):
    """Intent `executor.token-requested`: whoever shows the token of this hash may join under this name, once."""

    token_hash: str  # "sha256:<hex>" of the token
    ttl_s: int
    zone: str | None = None  # trust zone it joins in


class TokenCreated(Wire, frozen=True, kw_only=True):
    """Fact `executor.token-created`."""

    token_hash: str
    expires_at: datetime
    zone: str | None
    by: str


class ApprovalRequested(Wire, frozen=True, kw_only=True):
    """Intent `executor.approval-requested`: the one that waits with this fingerprint is ours."""

    fingerprint: str  # the key id, or at least its first 32 digits
    zone: str | None = None
    reason: str = ""


class Wish(Wire, frozen=True, kw_only=True):
    """Intents to drain, resume and revoke."""

    reason: str = ""


class RetirementRequested(Wire, frozen=True, kw_only=True):
    """Intent `executor.retirement-requested`. `force`: also while it runs something, which is placed again."""

    reason: str = ""
    force: bool = False


class RotationRequested(Wire, frozen=True, kw_only=True):
    """Intent `executor.rotation-requested`: make new keys; the old ones count for `overlap_s` longer."""

    overlap_s: int
    reason: str = ""


class JoinRequested(Wire, frozen=True, kw_only=True):
    """Fact `executor.join-requested`: somebody with these keys asks for the name, and waits for an operator."""

    keys: PublicKeys


class JoinRefused(Wire, frozen=True, kw_only=True):
    """Fact `executor.join-refused`: a token was shown that does not let in."""

    code: str
    message: str
    name: str  # that was asked for
    keys: PublicKeys


class Approved(Wire, frozen=True, kw_only=True):
    """Fact `executor.approved`: these keys are the executor's from now on."""

    keys: PublicKeys
    zone: str | None
    by: str
    reason: str
    token_hash: str | None = None  # the token that it showed; None: an operator compared the fingerprint


class Changed(Wire, frozen=True, kw_only=True):
    """Facts `executor.draining`, `.resumed`, `.retired`, `.revoked`."""

    by: str
    reason: str


class RotationStarted(Wire, frozen=True, kw_only=True):
    """Fact `executor.rotation-started`: its next heartbeats are answered with the wish for new keys."""

    overlap_s: int
    by: str
    reason: str


class KeyAnnounced(Wire, frozen=True, kw_only=True):
    """Fact `executor.key-announced`: new keys, vouched for by the old ones, which count until `until`."""

    keys: PublicKeys
    previous: PublicKeys
    until: datetime


class ClockOff(Wire, frozen=True, kw_only=True):
    """Fact `executor.clock-off`: its clock is too far from control's; positive: ahead."""

    skew_s: int
    limit_s: int


class ClockRight(Wire, frozen=True, kw_only=True):
    """Fact `executor.clock-right`: near enough again."""

    skew_s: int
