"""What becomes of guests when this executor is no longer one: it finds out, waits a little, and stops them.

Control cannot reach who was revoked: its bus key is refused, as every key is while control is away, so a refusal alone
proves nothing. Whoever hears nothing of control therefore asks over a key of the moment, as a stranger who may do
nothing else, and control answers whoever proves the signing key. Only its word that we have left counts, remembered in
`<state>/dismissed.json` across restarts. What control places elsewhere must not run here as well for long.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from agentplane.bus import subjects
from agentplane.bus.nkeys import create_seed_file
from agentplane.clock import Clock
from agentplane.daemon.bus import connect
from agentplane.daemon.logs import get_logger
from agentplane.enrolment.requests import LEFT, REFUSED, JoinReply, join_request
from agentplane.errors import AgentplaneError
from agentplane.runners import launch as launches
from agentplane.runs.protocol import HeartbeatReply
from services.executor.config import ExecutorSettings
from services.executor.durable import disk_errors, write_file
from services.executor.identity import Identity
from services.executor.runstate import Stage
from services.executor.statedir import AttemptDirectory, StateDirectory

log = get_logger()

_FILE: Final = "dismissed.json"
_LOOK_S: Final = 5.0
_SILENCE_S: Final = 10.0  # several heartbeats, as control wants them
_TIMEOUT_S: Final = 5.0
_CODES: Final = frozenset({"executor.revoked", "executor.retired"})

Ask = Callable[[], Awaitable[str | None]]


class Dismissed(msgspec.Struct, frozen=True, kw_only=True):
    """When we learned of it, and how it was said."""

    at: Annotated[datetime, msgspec.Meta(tz=True)]
    words: str


class Dismissal:
    """Looks after the question whether we are still an executor. `run` until cancelled."""

    def __init__(self, state: StateDirectory, clock: Clock, ask: Ask, grace_s: int | None) -> None:
        """`grace_s`: from learning of it until guests are stopped; None: they run to their own limit."""
        self._state = state
        self._clock = clock
        self._ask = ask
        self._grace_s = grace_s
        self._heard = time.monotonic()
        self._refused: str | None = None

    def heard(self, reply: HeartbeatReply) -> None:
        """Control answered a heartbeat."""
        if reply.accepted:
            self._heard, self._refused = time.monotonic(), None
            (self._state.path / _FILE).unlink(missing_ok=True)
        elif reply.code in _CODES:
            self._refused = f"{reply.code}: {reply.message}"

    async def run(self) -> None:
        """Look now and then; a disk or a bus in trouble only delays."""
        while True:
            try:
                await self.look()
            except AgentplaneError as exc:
                log.warning("whether we are still an executor cannot be kept", code=exc.code, reason=str(exc))
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Find out whether we have left, and stop the guests once the grace is over."""
        if time.monotonic() - self._heard < _SILENCE_S:
            return
        known = self._known() or await self._learned()
        if known is None or self._grace_s is None:
            return
        if (self._clock.now() - known.at).total_seconds() >= self._grace_s:
            await asyncio.to_thread(self._stop_guests, f"this executor is none any more: {known.words}")

    async def _learned(self) -> Dismissed | None:
        words = self._refused or await self._ask()
        if words is None:
            return None
        known = Dismissed(at=self._clock.now(), words=words)
        log.error("this executor is none any more", reason=words, guests_stop_in_s=self._grace_s)
        write_file(self._state.path / _FILE, msgspec.json.encode(known))
        return known

    def _known(self) -> Dismissed | None:
        path = self._state.path / _FILE
        with disk_errors(path):
            try:
                return msgspec.json.decode(path.read_bytes(), type=Dismissed)
            except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None  # torn or not ours: control is asked again

    def _stop_guests(self, reason: str) -> None:
        for directory in self._state.attempts():
            try:
                _stop_guest(directory, reason)
            except AgentplaneError as exc:
                log.warning("a guest cannot be stopped", run=str(directory.key), code=exc.code, reason=str(exc))


def _stop_guest(directory: AttemptDirectory, reason: str) -> None:
    record = directory.load()
    if record.stage is not Stage.STARTED:
        return
    launched = launches.launch_directory(str(directory.shim), record.launch)
    if not launched.is_dir():
        return
    found = launches.adopt(launched)
    if isinstance(found, launches.ShimHandle):
        log.warning("stopping a guest", run=str(directory.key), reason=reason)
        found.kill(reason)
        found.close()


async def asked(settings: ExecutorSettings, identity: Identity) -> str | None:
    """Control's word that this executor has left; None: it is a member, or nobody can tell now."""
    with tempfile.TemporaryDirectory(prefix="agentplane-") as directory:
        seed_file = Path(directory) / "moment.nkey"
        try:
            nkey = create_seed_file(seed_file)
            bus = await connect(
                settings.nats.model_copy(update={"nkey_seed_file": seed_file}), f"whether {identity.name} is one"
            )
        except AgentplaneError:
            return None
        try:
            request = join_request(identity.name, identity.keys, identity.signer, None, standing=True)
            data = await bus.request(subjects.join(nkey), msgspec.json.encode(request), timeout_s=_TIMEOUT_S)
            reply = msgspec.json.decode(data, type=JoinReply)
        except (AgentplaneError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        finally:
            await bus.close()
    return reply.message if reply.state == REFUSED and reply.code == LEFT else None
