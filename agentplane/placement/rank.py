"""How good an executor is for a run: one integer, so that everybody computes the same. Pure.

| points | for |
|---|---|
| 1000 | being the inventory's default: what people chose precedes what we measure |
| 200 | working KVM, where the backend is a virtual machine |
| 0 to 100 | the share of its scarcest resource that stays free with this run on it |
| 20 less | for being declared degraded |

Equal scores go by name.
"""

from typing import Final

from agentplane.placement.feasible import degraded
from agentplane.placement.model import Candidate, PlacementRequest, free

DEFAULT: Final = 1000
KVM: Final = 200
ROOM: Final = 100
DEGRADED: Final = -20


def score(candidate: Candidate, request: PlacementRequest) -> int:
    """The points of a candidate that can take the run."""
    facts, backends = candidate.state.facts, candidate.usable(request)
    is_virtual = bool(backends) and backends[0] != "process"
    return (
        (DEFAULT if candidate.is_default else 0)
        + (KVM if facts is not None and facts.kvm.usable and is_virtual else 0)
        + _room(candidate, request)
        + (DEGRADED if degraded(candidate) else 0)
    )


def _room(candidate: Candidate, request: PlacementRequest) -> int:
    facts, left = candidate.state.facts, free(candidate.state)
    if facts is None:
        return 0
    shares = (
        (left.vcpus - request.resources.vcpus, facts.vcpus),
        (left.memory_mib - request.resources.memory_mib, facts.memory_mib),
        (left.disk_mib - request.resources.disk_mib, facts.disk_mib),
    )
    return min(ROOM * rest // total if total else 0 for rest, total in shares)
