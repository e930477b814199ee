"""Pieces of files: asked of the run's executor, for its own tenant only, and bounded whatever it answers."""

from typing import Any

import msgspec
import pytest

from agentplane.bus import subjects
from agentplane.bus.memory import MemoryBus
from agentplane.errors import AgentplaneError, NotFound, Transient
from agentplane.projections.run_view import RunView
from agentplane.queries import protocol as wire
from agentplane.queries.artifacts import ARTIFACT_PIECE, ArtifactAnswers, ArtifactClient
from agentplane.runs.pieces import MAX_PIECE_BYTES, Piece

VIEW = RunView(tenant="acme", name="demo-1", correlation_id="c", executor="exec-1", epoch=3)
DATA = bytes(range(256)) * 5000  # more than two pieces


class World:
    """One run of one tenant, and an executor that answers as it is told."""

    def __init__(self, view: RunView = VIEW) -> None:
        self.bus = MemoryBus()
        self.view = view
        self.asked: list[dict[str, Any]] = []
        self.says: bytes | None = None

    async def start(self, *, executor: bool = True) -> ArtifactClient:
        answers = ArtifactAnswers(self.bus, self._run_of)

        async def query(subject: str, data: bytes) -> bytes:
            try:
                return wire.answered(await answers.piece(subjects.tenant_of(subject), data))
            except AgentplaneError as error:
                return wire.failed(error)

        await self.bus.respond(f"agentplane-query.*.{ARTIFACT_PIECE}", query)
        if executor:
            await self.bus.respond(subjects.artifact("exec-1"), self._executor)
        return ArtifactClient(self.bus, "acme")

    async def _run_of(self, tenant: str, name: str) -> RunView:
        if tenant != "acme" or not self.view.name.startswith(name):
            raise NotFound("no run", code="run.unknown")
        return self.view

    async def _executor(self, subject: str, data: bytes) -> bytes:
        request = msgspec.json.decode(data)
        self.asked.append(request)
        if self.says is not None:
            return self.says
        start = request["offset"]
        piece = Piece(size_bytes=len(DATA), offset=start, data=DATA[start : start + request["limit"]])
        return msgspec.json.encode(piece)


async def read(client: ArtifactClient, **changes: Any) -> bytes:
    wish = {"run": "demo", "path": "big.bin", "offset": 0, "upto": 1 << 30, **changes}
    run, path = wish.pop("run"), wish.pop("path")
    return b"".join([chunk async for chunk in client.chunks(run, path, **wish)])


async def test_a_file_is_read_piece_by_piece_from_the_attempt_that_counts() -> None:
    world = World()
    client = await world.start()
    assert await read(client) == DATA
    assert len(world.asked) == len(DATA) // MAX_PIECE_BYTES + 2
    assert {(each["tenant"], each["run"], each["epoch"]) for each in world.asked} == {("acme", "demo-1", 3)}
    assert await read(client, offset=len(DATA) - 3) == DATA[-3:]
    assert await read(client, upto=5) == DATA[:5]


async def test_another_tenants_file_is_not_found_and_its_executor_not_asked() -> None:
    world = World()
    await world.start()
    with pytest.raises(NotFound) as raised:
        await read(ArtifactClient(world.bus, "rival"))
    assert raised.value.code == "run.unknown"
    assert world.asked == []


async def test_a_run_that_has_run_nowhere() -> None:
    world = World(msgspec.structs.replace(VIEW, executor=None))
    with pytest.raises(NotFound) as raised:
        await read(await world.start())
    assert raised.value.code == "artifact.unknown"


async def test_an_executor_that_is_away_is_named() -> None:
    with pytest.raises(Transient, match="exec-1") as raised:
        await read(await World().start(executor=False))
    assert raised.value.code == "artifact.away"


@pytest.mark.parametrize(
    ("says", "code"),
    [
        (b'{"error":{"code":"artifact.unknown","message":"not among its files"}}', "artifact.unknown"),
        (b'{"error":{"code":"state-dir.full","message":"' + b"x" * 10_000 + b'"}}', "artifact.unknown"),
        (b'{"error":3}', "artifact.answer"),
        (b"", "artifact.answer"),
        (b"[]", "artifact.answer"),
        (b'{"sizeBytes":5,"offset":3,"data":""}', "artifact.answer"),
        (b'{"sizeBytes":-5,"offset":0,"data":""}', "artifact.answer"),
        (msgspec.json.encode(Piece(size_bytes=1 << 20, offset=0, data=bytes(MAX_PIECE_BYTES + 1))), "artifact.answer"),
    ],
)
async def test_whatever_an_executor_says_is_bounded(says: bytes, code: str) -> None:
    world = World()
    world.says = says
    with pytest.raises(AgentplaneError) as raised:
        await read(await world.start())
    assert raised.value.code == code
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("changes", [{"offset": -1}, {"path": "x" * 5000}])
async def test_a_range_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(AgentplaneError) as raised:
        await read(await World().start(), **changes)
    assert raised.value.code == "artifact.range"
