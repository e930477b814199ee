"""Pieces of a run's files, asked of the executor that holds them (request-reply, `bus.subjects.artifact`). Pure.

The answer is a `Piece`, or `{"error": …}` in the form of `AgentplaneError.to_json`.
"""

from typing import Final

from agentplane.runs.model import Wire

MAX_PIECE_BYTES: Final = 512 * 1024  # in base64 well below a NATS server's default max_payload
MAX_PATH_CHARS: Final = 4096
CONSOLE: Final = "@console"  # the kept console output; no artifact can have this name


class PieceRequest(Wire, frozen=True, kw_only=True):
    """Which bytes of which file."""

    tenant: str
    run: str
    epoch: int
    path: str  # as in the run's artifacts, or `@console`
    offset: int = 0
    limit: int = MAX_PIECE_BYTES


class Piece(Wire, frozen=True, kw_only=True):
    """A piece of a file; the file ends where offset + len(data) is sizeBytes."""

    size_bytes: int
    offset: int
    data: bytes  # base64 on the wire
