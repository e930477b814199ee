"""Durable publishing and consuming, against nats-py itself on the same server (every write synced).

Ours publishes as the relay does: events of the log in one atomic batch per page. nats-py awaits the acknowledgement of
each. Ours consumes as control does, acknowledging each message after it; nats-py fetches 1,000 and acknowledges each:
once from the stream of events, which keeps its messages, once from the work queue of intents, where the server removes
each acknowledged message from its disk, which takes it longer than either client needs.
"""

import asyncio
import itertools
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median
from typing import Final

import nats
from nats.js.api import ConsumerConfig
from nats.js.client import JetStreamContext

from agentplane.bus.nats import NatsBus
from agentplane.bus.nkeys import read_seed
from agentplane.bus.subjects import EVENTS, INTENTS
from scripts.bench.report import Line, at_least
from tests.nats_server import NatsServer

ROUNDS: Final = 5
OURS, THEIRS, CONSUMED = 5000, 400, 3000
MAX_PENDING: Final = 2000  # not yet acknowledged, as `NatsBus.consume` has it
BODY: Final = b"x" * 1024
FACT, INTENT = "agentplane.default.fact.Bench.bench.happened", "agentplane.default.intent.Bench.bench.wanted"
PUBLISH_GOAL, CONSUME_GOAL = 10.0, 2.0
_numbers = itertools.count()


def measure() -> list[Line]:
    """Interleaved rounds on a server of our own."""
    with tempfile.TemporaryDirectory() as directory:
        server = NatsServer(Path(directory))
        server.start()
        try:
            rows = asyncio.run(_rounds(server))
        finally:
            server.stop()
    published, each, consumed, fetched, queued, dequeued = (median(column) for column in zip(*rows, strict=True))
    peer = "nats-py, fetch(1000)"
    return [
        at_least("publish, pages of 1,000", published, each, "nats-py, awaiting each", PUBLISH_GOAL, what="msgs"),
        at_least("consume, each acknowledged", consumed, fetched, peer, CONSUME_GOAL, what="msgs"),
        at_least("consume a work queue, each acknowledged", queued, dequeued, peer, None, what="msgs"),
    ]


async def _rounds(server: NatsServer) -> list[tuple[float, ...]]:
    bus = await server.connect()
    await bus.ensure_streams()
    peer = await nats.connect(server.url, nkeys_seed_str=bytes(read_seed(server.seed("tester"))).decode())
    js = peer.jetstream()
    try:
        return [
            (
                await _publish(bus),
                await _publish_each(js),
                await _consume(bus, EVENTS, FACT),
                await _fetch(bus, js, EVENTS, FACT),
                await _consume(bus, INTENTS, INTENT),
                await _fetch(bus, js, INTENTS, INTENT),
            )
            for _ in range(ROUNDS)
        ]
    finally:
        await peer.close()
        await bus.close()


async def _publish(bus: NatsBus) -> float:
    messages = [(FACT, BODY, str(uuid.uuid4())) for _ in range(OURS)]
    started = time.perf_counter()
    for start in range(0, OURS, 1000):
        await bus.publish_batch(messages[start : start + 1000])
    return OURS / (time.perf_counter() - started)


async def _publish_each(js: JetStreamContext) -> float:
    ids = [str(uuid.uuid4()) for _ in range(THEIRS)]
    started = time.perf_counter()
    for each in ids:
        await js.publish(FACT, BODY, headers={"Nats-Msg-Id": each})
    return THEIRS / (time.perf_counter() - started)


async def _consume(bus: NatsBus, stream: str, family: str) -> float:
    subject = await _filled(bus, family)
    messages = bus.consume(stream, f"ours-{uuid.uuid4().hex}", subject=subject, batch=1000)
    started = time.perf_counter()
    for _ in range(CONSUMED):
        await (await anext(messages)).ack()
    elapsed = time.perf_counter() - started
    await messages.aclose()  # type: ignore[attr-defined] # an async generator
    return CONSUMED / elapsed


async def _fetch(bus: NatsBus, js: JetStreamContext, stream: str, family: str) -> float:
    subject, count = await _filled(bus, family), 0
    config = ConsumerConfig(max_ack_pending=MAX_PENDING)
    durable = await js.pull_subscribe(subject, f"theirs-{uuid.uuid4().hex}", stream, config=config)
    started = time.perf_counter()
    while count < CONSUMED:
        for message in await durable.fetch(1000, timeout=5):
            await message.ack()
            count += 1
    elapsed = time.perf_counter() - started
    await durable.unsubscribe()
    return CONSUMED / elapsed


async def _filled(bus: NatsBus, family: str) -> str:
    """A subject with messages that nobody has taken."""
    subject = f"{family}.n{next(_numbers)}"
    await bus.publish_batch([(subject, BODY, str(uuid.uuid4())) for _ in range(CONSUMED)])
    return subject
