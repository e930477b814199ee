"""Organizations as people look for them: who is active since when, and how often that changed. Pure."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agentplane.domains import resource as r
from agentplane.domains.organization.controllers import ACTIVATED, KIND, OFFBOARDED, REJECTED, SUSPENDED
from agentplane.events.codec import payload
from agentplane.events.model import StoredEvent
from agentplane.projections.engine import Projection
from agentplane.runs.model import Wire


class OrganizationView(Wire, frozen=True, kw_only=True):
    """One organization as of `last_sequence`."""

    tenant: str
    kind: str = KIND
    namespace: str
    name: str
    display_name: str = ""
    owner_email: str = ""
    tier: str = ""
    phase: str = "Pending"
    activations: int = 0
    active_since: datetime | None = None
    last_sequence: int = 0


PHASES: Final = {ACTIVATED: "Active", SUSPENDED: "Suspended", REJECTED: "Rejected", OFFBOARDED: "Offboarded"}


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    """(tenant, kind, namespace, name) of an event about an organization; None for every other event."""
    stream = stored.event.stream
    return (stream.tenant, stream.kind, stream.namespace, stream.name) if stream.kind == KIND else None


def apply(view: OrganizationView | None, stored: StoredEvent) -> OrganizationView | None:
    """The view after one more event. Raises Refused, code `event.payload`."""
    event, stream = stored.event, stored.event.stream
    if key(stored) is None:
        return view
    known = view or OrganizationView(tenant=stream.tenant, namespace=stream.namespace, name=stream.name)
    if event.type == r.APPLIED:
        spec = payload(event, r.Applied).spec
        known = replace(
            known,
            display_name=str(spec.get("displayName", "")),
            owner_email=str(spec.get("owner", {}).get("email", "")),
            tier=str(spec.get("tier", "community")),
        )
    elif event.type in PHASES:
        known = _entered(known, PHASES[event.type], stored)
    return replace(known, last_sequence=stored.sequence)


def _entered(view: OrganizationView, phase: str, stored: StoredEvent) -> OrganizationView:
    active = phase == "Active"
    return replace(
        view,
        phase=phase,
        activations=view.activations + active,
        active_since=stored.recorded_at if active else None,
    )


ORGANIZATIONS: Final = Projection("organizations", 1, OrganizationView, key, apply)
