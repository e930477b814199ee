"""From an assignment and what was prepared to the plan that a runner takes. Pure."""

from pathlib import Path

import msgspec

from agentplane.guests.qemu import Accelerator
from agentplane.guests.tarball import TarLimits
from agentplane.runners.plan import Caps, Plan
from agentplane.runs.protocol import Assignment
from services.executor.config import Caps as ConfiguredCaps
from services.executor.runstate import RunRecord


class PlanCaps(msgspec.Struct, frozen=True):
    """How much a guest may hand out on this host."""

    console_bytes: int
    artifact_bytes: int
    artifact_files: int


def plan_caps(caps: ConfiguredCaps) -> PlanCaps:
    """The configured bounds that a runner enforces."""
    return PlanCaps(caps.console_bytes, caps.artifact_bytes, caps.artifact_files)


def make_plan(assignment: Assignment, record: RunRecord, directory: Path, caps: PlanCaps) -> Plan:
    """The plan of the record's launch. Raises ValueError: nothing was prepared."""
    if record.prepared is None:
        raise ValueError("nothing was prepared")
    pins = assignment.pins
    accelerator: Accelerator = "kvm" if record.prepared.accelerator == "kvm" else "tcg"
    return Plan(
        run=assignment.run,
        tenant=assignment.tenant,
        epoch=assignment.epoch,
        lane=pins.lane,
        run_dir=str(directory),
        spec=record.prepared.spec,
        inputs=record.prepared.inputs,
        resources=pins.resources,
        deadline_s=float(pins.max_run_seconds),
        clock_base=pins.clock_base,
        seed=pins.seed,
        artifact_targets=pins.artifact_targets,
        secrets=pins.secrets,
        accelerator=accelerator,
        attempt=record.launch,
        caps=Caps(console_bytes=caps.console_bytes, artifacts=_tar_limits(caps)),
    )


def _tar_limits(caps: PlanCaps) -> TarLimits:
    return TarLimits(entries=caps.artifact_files, file_bytes=caps.artifact_bytes, total_bytes=caps.artifact_bytes)
