"""An intent whose id is stored already: told again, or another one under the same id."""

from agentplane.errors import Refused
from agentplane.events.digest import body_digest, encode_data
from agentplane.events.model import Event
from agentplane.ports import EventStore


async def stored_before(store: EventStore, intent: Event) -> bool:
    """Whether exactly this intent is stored, and with it all that followed.

    Raises:
        Refused: code `intent.duplicate-id`: the id is stored with another body; both digests are named unless it is
            another tenant's. Transient.
    """
    found = await store.find(intent.id)
    if not found:
        return False
    stored, hint = found[0].event, "an id names one intent for ever; a different one needs an id of its own"
    if stored.stream.tenant != intent.stream.tenant:
        raise Refused("this id cannot be used", code="intent.duplicate-id", hint=hint)
    before, now = _digest(stored), _digest(intent)
    if before != now:
        message = f"intent {intent.id} is stored with another body: stored sha256:{before}, given sha256:{now}"
        raise Refused(message, code="intent.duplicate-id", hint=hint)
    return True


def _digest(event: Event) -> str:
    return body_digest(event, encode_data(event.data)).hex()
