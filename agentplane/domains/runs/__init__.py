"""The domain `runs`: executions of bundles, and the executors that carry them out.

Its kinds are looked at like all others (`agentplane kinds|schema|get|describe`), and its wishes are held to the models
in `specs`. They are not made by documents: a run begins with `agentplane run`, an executor by joining. What follows is
decided in agentplane.controllers, since leases bind two streams in one append; the read models are in
agentplane.projections.
"""

from typing import Final

from agentplane.domains.model import Domain, Kind
from agentplane.domains.runs.specs import Executor, Run

RUN: Final = Kind(
    name="Run",
    plural="runs",
    api_version="agentplane.io/v1alpha1",
    spec=Run,
    columns=(
        ("state", "state"),
        ("bundle", "bundle"),
        ("executor", "executor"),
        ("exit", "exitCode"),
        ("message", "message"),
    ),
    labels=(
        ("state", "state"),
        ("lane", "lane"),
        ("bundle", "bundle"),
        ("executor", "executor"),
        ("backend", "backend"),
        ("author", "author"),
    ),
    description="One execution of a bundle.",
    made_by="agentplane run BUNDLE",
    decided_by=("runs", "placement", "leases", "cancels", "reports"),
)
EXECUTOR: Final = Kind(
    name="Executor",
    plural="executors",
    api_version="agentplane.io/v1alpha1",
    spec=Executor,
    columns=(
        ("state", "state"),
        ("backends", "facts.backends"),
        ("kvm", "facts.kvm.usable"),
        ("vcpus", "facts.vcpus"),
        ("MiB", "facts.memoryMib"),
        ("runs", "runs"),
    ),
    labels=(("state", "state"), ("os", "facts.os"), ("arch", "facts.arch")),
    description="A host that carries out runs.",
    made_by="agentplane executor token create, or the inventory",
)
DOMAIN: Final = Domain(name="runs", kinds=(RUN, EXECUTOR))
