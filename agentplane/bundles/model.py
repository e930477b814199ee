"""The bundle as the rest of the system sees it: typed, after validation. Pure.

`bundle_of` reads a document that has no failed finding; everything that is optional has its default here and nowhere
else.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from agentplane.bundles.paths import find, out_dir
from agentplane.canonical import digest_value
from agentplane.documents.model import Document
from agentplane.errors import Refused
from agentplane.ids import Digest
from agentplane.runs.model import FileFact, Resources

V0_1: Final = "agentplane.socioprophet.org/v0.1"
V0_2: Final = "agentplane.socioprophet.org/v0.2"
DEFAULT_VCPUS: Final = 1
DEFAULT_MEMORY_MIB: Final = 512
DEFAULT_DISK_GIB: Final = 1


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A mount as the bundle asks for it."""

    type: str
    source: str
    target: str
    ro: bool


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A valid bundle. Paths are relative to its directory, normalised, and exist there."""

    api_version: str
    name: str
    version: str
    lane: str
    backend_intent: str
    module: str
    smoke: str
    out_dir: str  # relative to the run's directory
    mounts: tuple[Mount, ...]
    network_mode: str
    resources: Resources
    max_run_seconds: int
    fail_on_timeout: bool
    asks_for_gate: bool
    secrets: tuple[str, ...]
    secret_ref_root: str | None
    executor_ref: str | None
    digest: Digest  # of the document's canonical bytes

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def artifact_targets(self) -> tuple[str, ...]:
        """Guest paths that lead to the artifact directory: writable mounts of outDir, whatever their type."""
        return tuple(mount.target for mount in self.mounts if not mount.ro and out_dir(mount.source) == self.out_dir)


def bundle_of(document: Document, facts: Sequence[FileFact]) -> Bundle:
    """The typed bundle of a document that `validate` found valid.

    Raises:
        Refused: code `bundle.shape`; `validate` would have said more.
    """
    try:
        return _read(document.value, {fact.path: fact for fact in facts})
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as exc:
        raise Refused(
            "not a valid bundle", code="bundle.shape", where=document.origin, hint="Run agentplane validate."
        ) from exc


def _read(value: dict[str, Any], files: Mapping[str, FileFact]) -> Bundle:
    metadata, spec = value["metadata"], value["spec"]
    machine, policy, secrets = spec["vm"], spec["policy"], spec["secrets"]
    return Bundle(
        api_version=value["apiVersion"],
        name=metadata["name"],
        version=metadata["version"],
        lane=policy["lane"],
        backend_intent=machine["backendIntent"],
        module=find(machine["modulePath"], files).path,
        smoke=find(spec["smoke"]["script"], files).path,
        out_dir=_present(out_dir(spec["artifacts"]["outDir"])),
        mounts=msgspec.convert(machine.get("mounts", []), tuple[Mount, ...]),
        network_mode=machine.get("network", {}).get("mode", "none"),
        resources=_resources(machine.get("resources", {})),
        max_run_seconds=policy["maxRunSeconds"],
        fail_on_timeout=policy.get("failOnTimeout", True),
        asks_for_gate=policy.get("humanGateRequired", False),
        secrets=tuple(secrets.get("required", [])),
        secret_ref_root=secrets.get("secretRefRoot"),
        executor_ref=spec.get("executor", {}).get("ref"),
        digest=digest_value(value),
    )


def _resources(asked: dict[str, int]) -> Resources:
    return Resources(
        vcpus=asked.get("vcpu", DEFAULT_VCPUS),
        memory_mib=asked.get("memMiB", DEFAULT_MEMORY_MIB),
        disk_mib=asked.get("diskGiB", DEFAULT_DISK_GIB) * 1024,
    )


def _present(path: str | None) -> str:
    if path is None:
        raise TypeError("outDir leaves the run's directory")
    return path
