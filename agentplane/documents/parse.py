"""Bytes to a document, by what the bytes are. Pure."""

from agentplane.documents import limits
from agentplane.documents.json_text import parse_json
from agentplane.documents.model import Document

__all__ = ["parse_document", "parse_json", "parse_yaml"]


def parse_yaml(data: bytes, origin: str, limit_bytes: int = limits.SIZE_BYTES) -> Document:
    """Parse a YAML object: see `agentplane.documents.yaml_text`. Raises Refused."""
    from agentplane.documents import yaml_text  # noqa: PLC0415 - PyYAML only for YAML

    return yaml_text.parse_yaml(data, origin, limit_bytes)


def parse_document(data: bytes, origin: str, limit_bytes: int = limits.SIZE_BYTES) -> Document:
    """Parse JSON or YAML. `.json` and `.yaml`/`.yml` say which; any other name is judged by its first character.

    Raises:
        Refused: as `parse_json` and `parse_yaml`.
    """
    suffix = origin.rpartition(".")[2].lower()
    starts_like_json = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["}
    if suffix == "json" or (starts_like_json and suffix not in {"yaml", "yml"}):
        return parse_json(data, origin, limit_bytes)
    return parse_yaml(data, origin, limit_bytes)
