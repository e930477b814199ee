"""A document's way through: compared with what is there, rehearsed or handed in, and followed."""

import asyncio
import difflib
import functools
import itertools
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import yaml

from agentplane.cli.resource_outcomes import Outcome, Removal, StepLine, failed, outcome, refused
from agentplane.cli.submit import facts_of, publish
from agentplane.clock import SystemClock
from agentplane.domains.admission import absent
from agentplane.domains.registry import Registry
from agentplane.domains.resource import ProgressState, Resource, document
from agentplane.domains.simulation import Simulation, simulate
from agentplane.domains.specs import Wish
from agentplane.errors import NotFound, Refused, Transient
from agentplane.events.model import Event, StreamId
from agentplane.intents.resources import request_apply, request_delete
from agentplane.queries.resources import ResourceClient
from agentplane.runs.intents import INTENT_REJECTED

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

Result = TypeVar("Result")

ANSWER_WITHIN_S: Final = 30.0
_LOOK_AGAIN_S: Final = (0.02, 0.04, 0.08, 0.16, 0.25)  # the last one from then on
_AT_ONCE: Final = 16
_HINTS: Final = {
    "intent.type": "control does not know this kind: install its domain where control and projector run, restart them"
}


class Applying:
    """Documents of one tenant, over one connection."""

    def __init__(self, bus: "NatsBus", registry: Registry, actor: str) -> None:
        self._bus = bus
        self._registry = registry
        self._actor = actor

    async def rehearse(self, wish: Wish) -> Outcome:
        """What would follow. Nothing is published."""
        _, before, played = await self._played(wish)
        steps = tuple(
            StepLine(
                controller=step.controller,
                upon=step.upon,
                message=step.failure or (step.decision.message if step.decision else ""),
                status=dict(step.decision.status) if step.decision else {},
                events=tuple(event.type for event in step.events),
            )
            for step in played.steps
            if step.events
        )
        events = tuple(
            {"type": event.type, "actor": event.actor, "data": event.data}
            for step in played.steps
            for event in step.events
        )
        return msgspec.structs.replace(
            outcome(before, played.after, changed=bool(steps)),
            dry_run=True,
            steps=steps,
            events=events,
            failures=failed(played.after, played.after.generation) if steps else (),
            complete=played.complete,
        )

    async def carry_out_all(self, wishes: Sequence[Wish], *, wait_s: float | None) -> list[Outcome]:
        """Hand them in, some at once. What control refuses is an outcome, too; where it is silent, that is raised."""

        async def one(wish: Wish) -> Outcome:
            try:
                return await self.carry_out(wish, wait_s=wait_s)
            except Refused as error:
                if len(wishes) == 1:
                    raise
                return refused(wish, error)

        return await _some_at_once([functools.partial(one, wish) for wish in wishes])

    async def carry_out(self, wish: Wish, *, wait_s: float | None) -> Outcome:
        """Hand it in unless nothing would change. Raises Refused, Transient."""
        intent, before, played = await self._played(wish)
        if not played.steps[0].events:
            return outcome(before, played.after, changed=False)
        await self._hand_in(intent)
        after = await self._until(wish.stream, lambda seen: seen.last_intent == intent.id or seen.uid is not None, 10.0)
        failures: tuple[str, ...] = ()
        if wait_s is not None:
            names = {step.controller for step in played.steps[1:]}
            after = await self._until(wish.stream, _settled(names, played.after.generation), wait_s)
            failures = failed(after, played.after.generation)
        return msgspec.structs.replace(
            outcome(before, after, changed=True), generation=played.after.generation, failures=failures
        )

    async def remove_all(self, streams: Sequence[StreamId], reason: str, *, wait_s: float | None) -> list[Removal]:
        """Ask for their deletion, some at once. What is not there, or refused, is an outcome. Raises Transient."""

        async def one(stream: StreamId) -> Removal:
            result, failure = "deleting", ""
            try:
                if await self.remove(stream, reason, wait_s=wait_s):
                    result = "deleted"
            except NotFound as error:
                result, failure = "missing", str(error)
            except Refused as error:
                if len(streams) == 1:
                    raise
                result, failure = "refused", f"{error} [{error.code}]"
            return Removal(
                kind=stream.kind, namespace=stream.namespace, name=stream.name, result=result, failure=failure
            )

        return await _some_at_once([functools.partial(one, stream) for stream in streams])

    async def remove(self, stream: StreamId, reason: str, *, wait_s: float | None) -> bool:
        """Ask for its deletion; whether it is gone by now. Raises NotFound, Transient."""
        await ResourceClient(self._bus, stream.tenant).one(stream.kind, stream.name, namespace=stream.namespace)
        now = SystemClock().now()
        await self._hand_in(request_delete(uuid.uuid4(), stream=stream, actor=self._actor, now=now, reason=reason))
        if wait_s is not None:
            await self._until(stream, lambda seen: not seen.exists, wait_s)
            return True
        seen = await self._until(stream, lambda seen: seen.deleting or not seen.exists, 10.0)
        return not seen.exists

    async def difference(self, wish: Wish) -> list[str]:
        """What would change in the document itself, as a unified diff; empty: nothing."""
        _, before, played = await self._played(wish)
        if not played.steps[0].events:
            return []
        name = f"{wish.stream.kind}/{wish.stream.namespace}/{wish.stream.name}"
        old, new = (_text(each).splitlines() if each.exists else [] for each in (before, played.after))
        return list(difflib.unified_diff(old, new, f"live/{name}", f"document/{name}", lineterm=""))

    async def _played(self, wish: Wish) -> tuple[Event, Resource, Simulation]:
        stream, request = wish.stream, wish.request
        client = ResourceClient(self._bus, stream.tenant)
        try:
            before = await client.one(stream.kind, stream.name, namespace=stream.namespace, deleted=True)
        except NotFound:
            before = absent(stream)
        now = SystemClock().now()
        intent = request_apply(
            uuid.uuid4(),
            stream=stream,
            api_version=request.api_version,
            spec=request.spec,
            actor=self._actor,
            now=now,
            labels=request.labels,
            finalizers=request.finalizers,
        )
        return intent, before, simulate(self._registry, before, intent, now)

    async def _hand_in(self, intent: Event) -> None:
        """Publish, and hear whether it was taken. The read model is asked as well: NATS may lose a fact."""
        facts = facts_of(self._bus, intent)
        await publish(self._bus, intent)

        async def heard() -> None:
            async for stored in facts:
                if stored.event.type == INTENT_REJECTED:
                    code = str(stored.event.data["code"])
                    raise Refused(str(stored.event.data["message"]), code=code, hint=_HINTS.get(code))
                if stored.event.causation_id == intent.id:
                    return

        async def seen() -> None:
            await self._until(intent.stream, lambda each: each.last_intent == intent.id, ANSWER_WITHIN_S)

        await _first(heard, seen)

    async def _until(self, stream: StreamId, reached: Callable[[Resource], bool], within_s: float) -> Resource:
        client = ResourceClient(self._bus, stream.tenant)
        pauses = itertools.chain(_LOOK_AGAIN_S, itertools.repeat(_LOOK_AGAIN_S[-1]))
        try:
            async with asyncio.timeout(within_s):
                for pause_s in pauses:
                    try:
                        found = await client.one(stream.kind, stream.name, namespace=stream.namespace, deleted=True)
                        if reached(found):
                            return found
                    except (NotFound, Transient):
                        pass  # not there yet; or who answers starts again, and what was handed in is not lost
                    await asyncio.sleep(pause_s)
        except TimeoutError:
            pass
        raise Transient(
            f"{stream.kind} {stream.name} has not come so far within {within_s:.0f} s",
            code="resource.waiting",
            hint=f"agentplane describe {stream.kind} {stream.name}",
        )


async def _some_at_once(attempts: Sequence[Callable[[], Coroutine[Any, Any, Result]]]) -> list[Result]:
    """What all of them come to, in their order; when one raises, the others end."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(attempt: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        async with turns:
            return await attempt()

    tasks = [asyncio.ensure_future(one(attempt)) for attempt in attempts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _first(*attempts: Callable[[], Awaitable[None]]) -> None:
    """Whichever ends first, its result or its error; the others are cancelled."""
    tasks = [asyncio.ensure_future(attempt()) for attempt in attempts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settled(names: set[str], generation: int) -> Callable[[Resource], bool]:
    def settled(seen: Resource) -> bool:
        done = {
            name
            for name, each in seen.controllers.items()
            if each.generation >= generation and each.state is not ProgressState.PROGRESSING
        }
        return names <= done

    return settled


def _text(resource: Resource) -> str:
    shown = document(resource)
    metadata = {key: shown["metadata"][key] for key in ("name", "namespace", "labels")}
    spec = {"apiVersion": shown["apiVersion"], "kind": shown["kind"], "metadata": metadata, "spec": shown["spec"]}
    return str(yaml.safe_dump(spec, sort_keys=True, allow_unicode=True))
