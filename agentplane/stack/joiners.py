"""More executors of a stack: they make their own keys and join over the bus, as a host of a fleet does.

Each has a configuration in `config/executors/`, its state in `executors/<name>/` and a process of its own.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from agentplane.errors import Conflict
from agentplane.stack.configs import Document, joining_executor
from agentplane.stack.edits import rendered
from agentplane.stack.layout import Layout


def names(layout: Layout) -> tuple[str, ...]:
    """Of the executors that were added, in order."""
    return tuple(sorted(path.stem for path in (layout.config / "executors").glob("*.json")))


def config_file(layout: Layout, name: str) -> Path:
    """What its daemon is started with."""
    return layout.config / "executors" / f"{name}.json"


def state_dir(layout: Layout, name: str) -> Path:
    """Its keys, journal and guests."""
    return layout.root / "executors" / name


def token_file(layout: Layout, name: str) -> Path:
    """The token that it joins with; removed when it has."""
    return layout.nkeys / f"{name}.token"


def prepare(layout: Layout, ports: Mapping[str, int], name: str, token: str) -> None:
    """Write what it needs to join. Raises Conflict (`stack.executor-exists`)."""
    if config_file(layout, name).exists():
        raise Conflict(f"this stack has an executor {name}", code="stack.executor-exists")
    (layout.root / "executors").mkdir(mode=0o711, exist_ok=True)
    config_file(layout, name).parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(token_file(layout, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    like = json.loads((layout.config / "executor.json").read_text())
    render(layout, ports, name, like)


def render(layout: Layout, ports: Mapping[str, int], name: str, like: Document) -> tuple[str, ...]:
    """Write its configuration, after that of the stack's first executor; the edits in it that were kept."""
    document = joining_executor(
        like, ports, name=name, state_dir=state_dir(layout, name), token_file=token_file(layout, name)
    )
    return rendered(config_file(layout, name), document)


def joined(layout: Layout, name: str) -> None:
    """The token is used up: forget it."""
    with contextlib.suppress(FileNotFoundError):
        token_file(layout, name).unlink()
