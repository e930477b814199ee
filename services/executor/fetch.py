"""Artifact pieces by request: only files that a run's own list names, only from its artifact directory.

Request and answer are those of `agentplane.runs.pieces`. The requester is a service of the control plane that has
checked the tenant; the tenant in the request must be the run's all the same.
"""

import os
from pathlib import Path

import msgspec

from agentplane.errors import AgentplaneError, NotFound, Refused
from agentplane.runners.foreign import open_foreign
from agentplane.runs.pieces import CONSOLE, MAX_PIECE_BYTES, Piece, PieceRequest
from services.executor.durable import disk_errors
from services.executor.runstate import RunKey, Stage
from services.executor.statedir import AttemptDirectory, StateDirectory


class Responder:
    """Answers requests on `subjects.artifact`."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state

    async def __call__(self, subject: str, data: bytes) -> bytes:
        """One answer; errors are answers, too."""
        del subject
        try:
            return msgspec.json.encode(self.answer(_request(data)))
        except AgentplaneError as error:
            return msgspec.json.encode({"error": error.to_json()})

    def answer(self, request: PieceRequest) -> Piece:
        """The piece asked for.

        Raises:
            NotFound: `artifact.unknown-run`, or `artifact.unknown` (not among the run's files).
            Refused: `artifact.range`.
        """
        if request.offset < 0 or request.limit < 0:
            raise Refused("offset and limit must not be negative", code="artifact.range")
        key = RunKey(request.tenant, request.run, request.epoch)
        path = self._path(self._state.attempt(key), request.path)
        limit = min(request.limit, MAX_PIECE_BYTES)
        with disk_errors(path):
            return _read(path, request.offset, limit)

    def _path(self, attempt: AttemptDirectory, wanted: str) -> Path:
        try:
            record = attempt.load()
        except AgentplaneError as exc:
            raise NotFound(f"no run {attempt.key} on this executor", code="artifact.unknown-run") from exc
        if wanted == CONSOLE and attempt.console.exists():
            return attempt.console
        listed = {fact.path for fact in record.artifacts}
        if record.stage not in (Stage.COLLECTED, Stage.SEALED) or wanted not in listed:
            raise NotFound(f"{wanted[:200]!r} is not an artifact of {attempt.key}", code="artifact.unknown")
        return attempt.out_dir(attempt.assignment().pins.out_dir) / wanted


def _request(data: bytes) -> PieceRequest:
    try:
        return msgspec.json.decode(data, type=PieceRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Refused(f"not an artifact request: {exc}", code="artifact.request") from exc


def _read(path: Path, offset: int, limit: int) -> Piece:
    # The list was made of what the collector wrote; a link here is not its doing.
    descriptor = open_foreign(path)
    try:
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, limit, offset) if offset < size else b""
        return Piece(size_bytes=size, offset=offset, data=data)
    finally:
        os.close(descriptor)
