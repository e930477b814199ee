"""What the control plane allows: lanes, backends, networks, sizes. Pure; loaded from control's configuration.

A policy decides from facts that control knows. Nothing in a bundle changes it: a bundle states what it needs, and
either that is allowed or it waits, visibly, until somebody with the right changes the policy.

Defaults: `process` (no virtual machine around the work) only in dev; no network anywhere; prod behind a human gate.
So the seeds' example (lima-process in staging) is valid and waits, naming `lanes.staging.backends`.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agentplane.canonical import digest_value
from agentplane.errors import Refused
from agentplane.ids import Digest

Backend = Literal["microvm", "qemu", "process"]
Network = Literal["none", "nat", "bridge", "slirp"]
Lane = Literal["dev", "staging", "prod"]

# what a bundle calls a backend -> what runners call it, best first
INTENTS: Final[dict[str, tuple[Backend, ...]]] = {
    "microvm": ("microvm",),
    "qemu": ("qemu",),
    "lima-process": ("process",),
    "fleet": ("microvm", "qemu", "process"),
    "agent-machine": (),  # the seeds name it; nothing here runs it yet
}


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class LanePolicy(_Settings):
    """What one lane allows."""

    backends: tuple[Backend, ...] = ("microvm", "qemu")
    networks: tuple[Network, ...] = ("none",)
    human_gate: bool = False
    require_kvm: bool = Field(default=False, description="Refuse emulation (TCG) for virtual machines.")
    trust_zones: tuple[str, ...] = Field(default=(), description="Executors' zones that may run it; empty: any.")


class ResourceLimits(_Settings):
    """The most that one bundle may ask for."""

    vcpus: int = Field(default=16, ge=1)
    memory_mib: int = Field(default=65536, ge=64)
    disk_gib: int = Field(default=512, ge=1)


def _default_lanes() -> dict[Lane, LanePolicy]:
    return {
        "dev": LanePolicy(backends=("microvm", "qemu", "process")),
        "staging": LanePolicy(),
        "prod": LanePolicy(human_gate=True),
    }


class Policy(_Settings):
    """The whole policy; its digest is pinned by every run. A lane that is not listed is not allowed."""

    lanes: dict[Lane, LanePolicy] = Field(default_factory=_default_lanes)
    limits: ResourceLimits = ResourceLimits()
    tenants: tuple[str, ...] = Field(default=(), description="Tenants that may run anything; empty: all.")
    attestation_modes: tuple[str, ...] = ("none", "executor")
    grant_modes: tuple[str, ...] = ("none", "runtime_optional")
    stale_after_s: int = Field(default=30, ge=1, description="An executor not heard of for longer is unreachable.")

    def lane(self, name: str) -> LanePolicy | None:
        """The policy of a lane; None: not allowed."""
        return next((lane for known, lane in self.lanes.items() if known == name), None)

    def needs_gate(self, lane: str, *, bundle_asks: bool) -> bool:
        """Whether people must approve: the lane says so or the bundle asks. A bundle cannot say that they need not."""
        known = self.lane(lane)
        return bundle_asks or known is None or known.human_gate

    def backends(self, intent: str, lane: str) -> tuple[Backend, ...]:
        """What may run a backend intent in a lane, best first; empty: nothing until the policy changes."""
        known = self.lane(lane)
        return tuple(backend for backend in INTENTS.get(intent, ()) if known and backend in known.backends)

    def admits(self, tenant: str) -> bool:
        """Whether a tenant may run anything."""
        return not self.tenants or tenant in self.tenants

    def digest(self) -> Digest:
        """`sha256:<hex>` of the policy's canonical bytes: the `policy_digest` of pins."""
        return digest_value(self.model_dump(mode="json", by_alias=True))


def load_policy(settings: dict[str, Any]) -> Policy:
    """The policy in a configuration; missing fields have their defaults.

    Raises:
        Refused: code `policy.invalid`, naming every field that is wrong.
    """
    try:
        return Policy.model_validate(settings)
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        raise Refused(f"policy: {wrong}", code="policy.invalid", hint="See docs for the policy's fields.") from exc
