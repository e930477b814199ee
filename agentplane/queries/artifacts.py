"""A run's files through the query service: it knows who may ask and which executor holds them, and passes pieces on.

Executors answer nobody but services of the control plane. What they answer is bounded and checked for its form here;
whether it is the file that was sealed is for the asker to check, who has the signed seal.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from agentplane.bus import subjects
from agentplane.errors import NotFound, Refused, Transient
from agentplane.ports import Bus
from agentplane.projections.run_view import RunView
from agentplane.queries.asking import ask
from agentplane.queries.paging import question
from agentplane.runs.model import Wire
from agentplane.runs.pieces import CONSOLE, MAX_PATH_CHARS, MAX_PIECE_BYTES, Piece, PieceRequest

ARTIFACT_PIECE: Final = "artifact-piece"
_EXECUTOR_TIMEOUT_S: Final = 10.0
_ASKER_TIMEOUT_S: Final = 15.0
_WORDS: Final = 300  # of an executor's own

__all__ = ["ARTIFACT_PIECE", "CONSOLE", "ArtifactAnswers", "ArtifactClient", "ArtifactPiece"]


class ArtifactPiece(Wire, frozen=True, kw_only=True):
    """Bytes of a file of a run's newest attempt. `run`: its name or any prefix that fits only one run."""

    run: str
    path: str
    offset: int = 0


class Requesting(Protocol):
    """What passing on needs of the bus."""

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask and wait."""
        ...


class ArtifactAnswers:
    """The query service's answers about files. `run_of`: a tenant's run by its name."""

    def __init__(self, bus: Requesting, run_of: Callable[[str, str], Awaitable[RunView]]) -> None:
        self._bus = bus
        self._run_of = run_of

    async def piece(self, tenant: str, data: bytes) -> Piece:
        """A piece of a file.

        Raises:
            NotFound: `run.unknown`, `artifact.unknown` (no such file, or no attempt yet).
            Refused: `artifact.range`.
            Transient: `artifact.away`: its executor does not answer.
        """
        wish = question(data, ArtifactPiece)
        if len(wish.path) > MAX_PATH_CHARS or wish.offset < 0:
            raise Refused("no such range of a file", code="artifact.range")
        view = await self._run_of(tenant, wish.run)
        if view.executor is None:
            raise NotFound(f"{view.name} has run nowhere yet", code="artifact.unknown")
        request = PieceRequest(tenant=tenant, run=view.name, epoch=view.epoch, path=wish.path, offset=wish.offset)
        return _read(await self._ask(view.executor, request), request, view.executor)

    async def _ask(self, executor: str, request: PieceRequest) -> bytes:
        subject = subjects.artifact(executor)
        try:
            return await self._bus.request(subject, msgspec.json.encode(request), timeout_s=_EXECUTOR_TIMEOUT_S)
        except Transient as exc:
            raise Transient(
                f"executor {executor}, which holds the files of {request.run}, does not answer",
                code="artifact.away",
                delay_s=5.0,
                hint="`agentplane get executors` says whether it is reachable; its files stay where they are",
            ) from exc


class ArtifactClient:
    """Reading files of one tenant's runs. Everything raises what the service raised, or Transient."""

    def __init__(self, bus: Bus, tenant: str) -> None:
        self._bus = bus
        self._tenant = tenant

    async def piece(self, run: str, path: str, offset: int) -> Piece:
        """One piece, at most `MAX_PIECE_BYTES`."""
        wish = ArtifactPiece(run=run, path=path, offset=offset)
        return await ask(self._bus, self._tenant, ARTIFACT_PIECE, wish, Piece, timeout_s=_ASKER_TIMEOUT_S)

    async def chunks(self, run: str, path: str, *, offset: int = 0, upto: int) -> AsyncIterator[bytes]:
        """A file from `offset` to at most `upto`; ends where it ends."""
        while offset < upto:
            data = (await self.piece(run, path, offset)).data[: upto - offset]
            if not data:
                return
            yield data
            offset += len(data)


def _read(answer: bytes, request: PieceRequest, executor: str) -> Piece:
    """An executor's answer, if it is one to this request."""
    try:
        said: Any = msgspec.json.decode(answer)
        if isinstance(said, dict) and (error := said.get("error")) is not None:
            code, message = str(error["code"]), str(error["message"])[:_WORDS]
            raise NotFound(f"executor {executor}: {message} [{code[:60]}]", code="artifact.unknown")
        piece = msgspec.convert(said, Piece)
    except (msgspec.DecodeError, KeyError, TypeError) as exc:
        said_what = f"executor {executor} answers what cannot be read"
        raise Transient(said_what, code="artifact.answer", hint="is it of an older version?") from exc
    if piece.offset != request.offset or len(piece.data) > MAX_PIECE_BYTES or piece.size_bytes < 0:
        raise Transient(f"executor {executor} answers another question", code="artifact.answer")
    return piece
