"""Where an event comes from: this control plane, or an import. Pure.

Imported history of what only a control plane says stands in namespaces of its own, `imported.<namespace>`. Namespaces
of documents are DNS labels and have no dot, so the two never meet.
"""

from typing import Final

from agentplane.events.model import StreamId

PREFIX: Final = "imported."


def imported_namespace(namespace: str) -> str:
    """The namespace under which another control plane's history of a namespace stands."""
    return namespace if namespace.startswith(PREFIX) else PREFIX + namespace


def is_imported(stream: StreamId) -> bool:
    """Whether a stream is imported history: shown, never acted upon."""
    return stream.namespace.startswith(PREFIX)
