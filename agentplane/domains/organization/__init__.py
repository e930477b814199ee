"""The domain `organization`: tenants, Eventplane's own example. Everything about it is in this folder.

specs (what people write) → controllers (what follows) → projections (what people see); fixtures and tests beside them.
"""

from typing import Final

from agentplane.domains.model import Domain, Kind
from agentplane.domains.organization.controllers import Activation, Offboarding
from agentplane.domains.organization.projections import ORGANIZATIONS
from agentplane.domains.organization.specs import Organization

DOMAIN: Final = Domain(
    name="organization",
    kinds=(
        Kind(
            name="Organization",
            plural="organizations",
            api_version="agentplane.io/v1alpha1",
            spec=Organization,
            controllers=(Activation(), Offboarding()),
            columns=(
                ("display name", "spec.displayName"),
                ("tier", "spec.tier"),
                ("phase", "status.phase"),
                ("message", "status.message"),
            ),
            description="A tenant: who it is, who answers for it, what it may use.",
        ),
    ),
    projections=(ORGANIZATIONS,),
)
