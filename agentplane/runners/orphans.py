"""Guests that outlived their executor, ended by what their shims wrote down. For whoever takes a whole host down."""

from pathlib import Path

from agentplane.errors import AgentplaneError
from agentplane.runners.launch import ShimHandle, adopt
from agentplane.runners.shim import contract

REASON = "its host is taken down"


def end_all(state_dir: Path) -> int:
    """End every execution below an executor's state directory and wait for it. Returns how many still ran."""
    handles = [handle for path in state_dir.glob(f"runs/**/{contract.LAUNCHED}") if (handle := _running(path.parent))]
    for handle in handles:
        handle.kill(REASON)
    for handle in handles:
        handle.wait()
        handle.close()
    return len(handles)


def _running(directory: Path) -> ShimHandle | None:
    try:
        found = adopt(directory)
    except AgentplaneError:  # nothing that runs
        return None
    return found if isinstance(found, ShimHandle) else None
