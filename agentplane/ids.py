"""Identifiers: what they look like and how derived ones are derived. Pure."""

import hashlib
import re
import uuid
from typing import Final, NewType

EventId = NewType("EventId", uuid.UUID)
RunId = NewType("RunId", str)
Tenant = NewType("Tenant", str)
Digest = NewType("Digest", str)  # "sha256:" and 64 lower-case hex digits

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://agentplane.socioprophet.org/v0.2")
_FORESEEN: Final = 8
LABEL_KEY: Final = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,252}"  # of a label, as selectors name it
LABEL_VALUE: Final = r"[A-Za-z0-9._-]{0,253}"
DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}")


def derived_id(source: uuid.UUID, controller: str, version: int, index: int) -> EventId:
    """The id of a controller's `index`-th output for the event `source`: the same at every redelivery (uuid5)."""
    return EventId(uuid.uuid5(NAMESPACE, f"{source}/{controller}/{version}/{index}"))


def foreseen_id(text: str) -> EventId:
    """The id of an event that anybody can foretell, so that control processes agree on it: a UUID of version 8.

    No intent and no imported event may have one (`is_foreseen`): else somebody could take it before its owner does.
    """
    number = int.from_bytes(hashlib.sha256(f"{NAMESPACE}/{text}".encode()).digest()[:16], "big")
    number = number & ~(0xF << 76) | _FORESEEN << 76  # version
    return EventId(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62))  # variant of RFC 9562


def is_foreseen(id_: uuid.UUID) -> bool:
    """Whether an id is of the kind that `foreseen_id` makes."""
    return id_.version == _FORESEEN


def run_id(bundle_name: str, intent_id: uuid.UUID) -> RunId:
    """A run's name: readable, a DNS label, unique because the intent's id is."""
    return RunId(f"{bundle_name[:40].strip('-')}-{intent_id.hex[:12]}")
