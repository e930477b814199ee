"""The versions of the controllers that make runs. Pure.

Raise one when its controller decides otherwise upon the same input. `agentplane controllers check` replays the log and
fails where a decision would differ under the same number; under a higher one the difference counts as declared.
"""

from typing import Final

VERSIONS: Final[dict[str, int]] = {
    "runs": 1,  # admission: agentplane.controllers.runs
    "placement": 1,  # agentplane.controllers.schedule
    "leases": 1,
    "cancels": 1,
    "reports": 1,
    "resources": 2,  # wishes to apply and delete: agentplane.domains.admission
}


def version_of(controller: str) -> int:
    """A controller's version; those that are not listed have never changed."""
    return VERSIONS.get(controller, 1)
