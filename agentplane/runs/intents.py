"""Payload of the one fact on an intent's own stream: it could not be taken. Pure.

The stream is `<tenant>/Intent/default/<first 12 hex digits of the digest>`. The bytes themselves are not kept: they may
hold what the refusal is about.
"""

from typing import Final

from agentplane.events.model import StreamId
from agentplane.runs.model import Wire

INTENT_REJECTED: Final = "intent.rejected"


def intent_stream(tenant: str, digest_hex: str) -> StreamId:
    """The stream that remembers a refused intent by the digest of its bytes."""
    return StreamId(tenant=tenant, kind="Intent", namespace="default", name=digest_hex[:12])


class IntentRejected(Wire, frozen=True, kw_only=True):
    """Fact `intent.rejected`: undecodable, or refused before it could become an event."""

    code: str
    message: str  # never a value out of the intent
    subject: str
    digest: str  # "sha256:<hex>" of its bytes
    size_bytes: int
    intent_id: str | None = None  # where it could be read
