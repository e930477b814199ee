"""Where a value is in its document's text: computed on demand, for findings. Pure."""

from agentplane.documents import json_scan
from agentplane.documents.limits import Lines
from agentplane.documents.model import Document, Position, pointer


class Positions:
    """Positions of one document's values by JSON pointer; the text is walked once, at the first question."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[str, Position] | None = None

    def find(self, path: str) -> Position | None:
        """Where the value at a JSON pointer is; of a missing one, its nearest present parent. None without a text."""
        if self._known is None:
            self._known = _positions(self._document)
        while path and path not in self._known:
            path = path.rpartition("/")[0]
        return self._known.get(path)


def _positions(document: Document) -> dict[str, Position]:
    if document.syntax == "data":
        return {}
    if document.syntax == "yaml":
        from agentplane.documents.yaml_text import build  # noqa: PLC0415 - PyYAML only for YAML

        return build(document.text, document.origin)[1]
    lines = Lines(document.text)
    return {pointer(*place.path): lines.position(place.offset) for place in json_scan.walk(document.text)}
