"""What became, or would become, of documents and of wishes to delete."""

from typing import Any, Final

import msgspec

from agentplane.domains.resource import ProgressState, Resource
from agentplane.domains.specs import Wish
from agentplane.errors import Refused

_FAILED: Final = frozenset({ProgressState.DENIED, ProgressState.DEAD_LETTER})


class StepLine(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of a rehearsal, in words and types."""

    controller: str
    upon: str
    message: str
    status: dict[str, Any]
    events: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became, or would become, of one document. `result`: created, configured, unchanged or refused."""

    kind: str
    namespace: str
    name: str
    result: str
    generation: int
    dry_run: bool = False
    steps: tuple[StepLine, ...] = ()
    events: tuple[dict[str, Any], ...] = ()
    failures: tuple[str, ...] = ()
    complete: bool = True  # False: of a rehearsal that would go on

    @property
    def failed(self) -> bool:
        """Whether a controller failed at it."""
        return bool(self.failures)

    def to_json(self) -> Any:  # noqa: ANN401 - JSON
        """As data."""
        return msgspec.to_builtins(self)


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one wish to delete. `result`: deleted, deleting (something holds it), missing or refused."""

    kind: str
    namespace: str
    name: str
    result: str
    failure: str = ""

    def to_json(self) -> Any:  # noqa: ANN401 - JSON
        """As data."""
        return msgspec.to_builtins(self)


def outcome(before: Resource, after: Resource, *, changed: bool) -> Outcome:
    """Of a document upon a resource."""
    result = "unchanged" if not changed else "configured" if before.exists else "created"
    return Outcome(
        kind=after.kind, namespace=after.namespace, name=after.name, result=result, generation=after.generation
    )


def failed(resource: Resource, generation: int) -> tuple[str, ...]:
    """Controllers that said no to a generation, or could not handle it."""
    return tuple(
        f"{name}: {each.state}: {each.message}"
        for name, each in resource.controllers.items()
        if each.state in _FAILED and each.generation >= generation
    )


def refused(wish: Wish, error: Refused) -> Outcome:
    """Of a document that control did not take."""
    stream = wish.stream
    return Outcome(
        kind=stream.kind,
        namespace=stream.namespace,
        name=stream.name,
        result="refused",
        generation=0,
        failures=(f"{error} [{error.code}]" + (f"; {error.hint}" if error.hint else ""),),
    )
