"""What the control plane allows: lanes, backends, networks, sizes. Pure; loaded from control's configuration.

A policy decides from facts that control knows. Nothing in a bundle changes it: a bundle states what it needs, and
either that is allowed or it waits, visibly, until somebody with the right changes the policy.

Defaults: `process` (no virtual machine around the work) only in dev; no network anywhere; prod behind a human gate.
So the seeds' example (lima-process in staging) is valid and waits, naming `lanes.staging.backends`.
"""

import re
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from agentplane.canonical import digest_value
from agentplane.ids import Digest

Backend = Literal["microvm", "qemu", "process"]
Network = Literal["none", "nat", "bridge", "slirp"]
Lane = Literal["dev", "staging", "prod"]
Path = tuple[str | int, ...]  # of a field in the document

# what a bundle calls a backend -> what runners call it, best first
INTENTS: Final[dict[str, tuple[Backend, ...]]] = {
    "microvm": ("microvm",),
    "qemu": ("qemu",),
    "lima-process": ("process",),
    "fleet": ("microvm", "qemu", "process"),
    "agent-machine": (),  # the seeds name it; nothing here runs it yet
}


class _Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the policy's parts. Code that makes one is trusted; what people wrote goes through `read_policy`."""


class LanePolicy(_Settings, frozen=True, kw_only=True):
    """What one lane allows."""

    backends: tuple[Backend, ...] = ("microvm", "qemu")  # what may run a bundle in this lane
    networks: tuple[Network, ...] = ("none",)  # what a guest may ask for
    human_gate: bool = False  # a person has to approve, bound to the digest
    require_kvm: bool = False  # refuse emulation (TCG) for virtual machines
    trust_zones: tuple[str, ...] = ()  # executors' zones that may run it; empty: any


class ResourceLimits(_Settings, frozen=True, kw_only=True):
    """The most that one bundle may ask for."""

    vcpus: Annotated[int, Meta(ge=1)] = 16  # virtual processors
    memory_mib: Annotated[int, Meta(ge=64)] = 65536  # memory
    disk_gib: Annotated[int, Meta(ge=1)] = 512  # scratch disk


def _default_lanes() -> dict[Lane, LanePolicy]:
    return {
        "dev": LanePolicy(backends=("microvm", "qemu", "process")),
        "staging": LanePolicy(),
        "prod": LanePolicy(human_gate=True),
    }


class Policy(_Settings, frozen=True, kw_only=True):
    """The whole policy; its digest is pinned by every run. A lane that is not listed is not allowed."""

    lanes: dict[Lane, LanePolicy] = msgspec.field(default_factory=_default_lanes)
    limits: ResourceLimits = ResourceLimits()
    tenants: tuple[str, ...] = ()  # that may run anything; empty: all
    attestation_modes: tuple[str, ...] = ("none", "executor")  # of a bundle's spec.trust, that are taken
    grant_modes: tuple[str, ...] = ("none", "runtime_optional")  # of a bundle's spec.trust, that are taken
    stale_after_s: Annotated[int, Meta(ge=1)] = 30  # an executor not heard of for longer is unreachable

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
        return digest_value(msgspec.to_builtins(self))


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a policy document, and where."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path)) or 'the policy'}: {self.message}"


def read_policy(settings: object) -> Policy | list[Problem]:
    """The policy in a configuration, or everything that is wrong with it. Fields in camelCase or snake_case."""
    problems: list[Problem] = []
    policy = _read(settings, Policy, (), problems)
    return policy if isinstance(policy, Policy) and not problems else problems


def _read(value: object, type_: Any, path: Path, problems: list[Problem]) -> Any:  # noqa: ANN401 - as its type says
    """A value as its type; None, and a problem for each thing that is wrong, where it is not."""
    if get_origin(type_) is dict and isinstance(value, dict):
        kind, inner = get_args(type_)
        return {
            _read(key, kind, (*path, key), problems): _read(item, inner, (*path, key), problems)
            for key, item in value.items()
        }
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct) and isinstance(value, dict):
        return _read_struct(value, type_, path, problems)
    try:
        return msgspec.convert(value, type_, strict=True)
    except msgspec.ValidationError as exc:
        message, _, where = str(exc).partition(" - at `$")
        message = "is not a known value" if message.startswith("Invalid enum value") else message  # it is not repeated
        problems.append(Problem((*path, *map(int, re.findall(r"\[(\d+)\]", where))), message))
        return None


def _read_struct(
    value: dict[Any, object], type_: type[msgspec.Struct], path: Path, problems: list[Problem]
) -> msgspec.Struct | None:
    fields = {name: field for field in msgspec.structs.fields(type_) for name in (field.name, field.encode_name)}
    found: dict[str, object] = {}
    before = len(problems)
    for name, item in value.items():
        field = fields.get(name)
        if field is None or field.name in found:
            problems.append(Problem((*path, name), "is given twice" if field else "is not a field of the policy"))
        else:
            found[field.name] = _read(item, field.type, (*path, name), problems)
    return type_(**found) if len(problems) == before else None
