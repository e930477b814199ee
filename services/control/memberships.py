"""Takes operators' wishes about executors, each once, and stores what follows."""

from datetime import datetime

from agentplane.controllers import memberships
from agentplane.controllers.decision import Decision
from agentplane.controllers.state import ControlState
from agentplane.errors import Refused, Transient
from agentplane.events.model import Event
from agentplane.intents.executors import open_wish
from agentplane.ports import Message
from services.control.roster import Roster
from services.control.runtime import Runtime


class MembershipDesk:
    """One wish at a time."""

    def __init__(self, runtime: Runtime, roster: Roster) -> None:
        self._runtime = runtime
        self._roster = roster

    async def act(self, message: Message) -> None:
        """Store what follows from a wish. Raises Refused, Transient."""
        intent = open_wish(message.subject, message.data)
        if message.deliveries > 1 and await self._stored(intent):
            return

        def decide(state: ControlState, now: datetime) -> Decision:
            return memberships.decide(state, intent, self._roster.is_declared, now)

        try:
            await self._runtime.settle(decide)
        except (Transient, Refused):
            if not await self._stored(intent):
                raise

    async def _stored(self, intent: Event) -> bool:
        stream = await self._runtime.store.read_stream(intent.stream)
        return any(stored.event.id == intent.id for stored in stream)
