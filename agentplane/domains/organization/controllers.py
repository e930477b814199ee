"""What follows from an organization's spec. Pure."""

from typing import Final

from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.organization.specs import Organization, Tier

KIND: Final = "Organization"
ACTIVATED: Final = "organization.activated"
SUSPENDED: Final = "organization.suspended"
REJECTED: Final = "organization.rejected"
OFFBOARDED: Final = "organization.offboarded"
OFFBOARDING: Final = "organization.agentplane.io/offboarding"
MAX_RUNS: Final = {Tier.COMMUNITY: 8, Tier.STANDARD: 64, Tier.ENTERPRISE: 1000}


class Activation(Controller):
    """Hold a tenant's wishes against its tier, and activate, suspend or reject it."""

    NAME = "organization-activation"
    VERSION = 1
    WATCH = (Watch(kind=KIND, type="resource.applied"),)

    def reconcile(self, context: Context) -> Decision | None:
        """Activate it, or say what is in the way."""
        spec = context.spec
        assert isinstance(spec, Organization)  # noqa: S101 - its kind's model
        phase, type_, message = _judge(spec)
        before = context.resource.status.get("phase")
        status = {
            "phase": phase,
            "message": message or None,
            "observedGeneration": context.resource.generation,
        }
        emit = () if before == phase else (Emit(type=type_, data={"tier": spec.tier.value, "message": message}),)
        return Decision(status=status, message=message or phase.lower(), emit=emit, add_finalizers=(OFFBOARDING,))


class Offboarding(Controller):
    """Let a tenant go: its finalizer holds the deletion until that is on record."""

    NAME = "organization-offboarding"
    VERSION = 1
    WATCH = (Watch(kind=KIND, type="resource.deletion-requested"),)

    def reconcile(self, context: Context) -> Decision | None:
        """Release the finalizer."""
        if OFFBOARDING not in context.resource.finalizers:
            return None
        return Decision(
            status={"phase": "Offboarded"},
            message="offboarded",
            emit=(Emit(type=OFFBOARDED, data={"reason": context.resource.deletion_reason}),),
            remove_finalizers=(OFFBOARDING,),
        )


def _judge(spec: Organization) -> tuple[str, str, str]:
    limit = MAX_RUNS[spec.tier]
    if spec.quota.concurrent_runs > limit:
        return "Rejected", REJECTED, f"tier {spec.tier.value} allows {limit} concurrent runs"
    if spec.suspended:
        return "Suspended", SUSPENDED, "suspended by its spec"
    return "Active", ACTIVATED, ""
