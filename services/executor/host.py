"""What an attempt needs of its host, as a port: the store and the runners. All calls block.

The real one is `services.executor.nixhost`; tests put a scripted host behind the same port.
"""

from typing import Protocol

from agentplane.runners.plan import Ending, Execution, Plan
from agentplane.runs.protocol import Assignment
from services.executor.runstate import Prepared


class Host(Protocol):
    """Builds, starts, finds again."""

    def prepare(self, assignment: Assignment) -> Prepared:
        """Check the sources against their pins and build what is to run.

        Raises:
            Broken: Nix failed; the last lines of the builder are in the message.
            Tampered, Refused: a store path does not hold what was pinned, or is no guest.
        """
        ...

    def launch(self, backend: str, plan: Plan, secrets: dict[str, bytes]) -> Execution:
        """Start it. Raises Conflict (`run.already-launched`), Refused, Broken."""
        ...

    def adopt(self, plan: Plan) -> Execution | Ending | None:
        """What became of this launch: it runs, it ended, or (None) it was never made."""
        ...
