"""All that control's placement binds: what runs, which guest is run again, and what it is compared with. Pure.

The digest stands in the signed PlacementDecision (`caps.pinsDigest`). An executor runs nothing else, whatever the bus
says, and an export carries the document itself (`pins.json`), so that a stranger sees what ran.
"""

from typing import Final

import msgspec

from agentplane.canonical import canonical_bytes, digest_bytes
from agentplane.ids import Digest
from agentplane.runs.model import Expected, GuestPin, Pins, RunCreated, Wire

DIGEST_CAP: Final = "pinsDigest"  # in the decision's open `caps`
BACKEND_CAP: Final = "backend"


class Pinned(Wire, frozen=True, kw_only=True):
    """The same for every attempt of a run; what differs (epoch, executor, backend) the decision says itself."""

    pins: Pins
    replay_guest: GuestPin | None = None
    expected: Expected | None = None


def pinned_of(created: RunCreated) -> Pinned:
    """What was pinned when a run was admitted."""
    return Pinned(pins=created.pins, replay_guest=created.replay_guest, expected=created.expected)


def pinned_bytes(pinned: Pinned) -> bytes:
    """Its RFC 8785 bytes. Raises Refused, code `canonical.unrepresentable`."""
    return canonical_bytes(msgspec.to_builtins(pinned))


def pinned_digest(pinned: Pinned) -> Digest:
    """`sha256:<hex>` of those bytes. Raises Refused, code `canonical.unrepresentable`."""
    return digest_bytes(pinned_bytes(pinned))
