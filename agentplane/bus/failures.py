"""What nats-py raises and JetStream answers, in our words. The only place that knows their numbers and names."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import nats.errors

from agentplane.errors import NotFound, Refused, Transient

UNREACHABLE: Final = "is nats-server running? `agentplane doctor` looks"
SILENT: Final = "nats-server's log says why; was its disk full, then restart it once there is room: nothing is lost"
DRIVER: Final = (nats.errors.Error, OSError, TimeoutError)


@contextlib.contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn the driver's exceptions into ours, once."""
    try:
        yield
    except nats.errors.MaxPayloadError as exc:
        raise Refused("larger than the bus carries", code="bus.too-large", where=subject) from exc
    except nats.errors.BadSubjectError as exc:
        raise Refused("not a subject", code="bus.subject", where=subject) from exc
    except (nats.errors.TimeoutError, TimeoutError) as exc:
        raise Transient("the bus did not answer in time", code="bus.timeout", where=subject) from exc
    except (nats.errors.Error, OSError) as exc:
        raise Transient(f"the bus is away: {exc}", code="bus.unreachable", where=subject, hint=UNREACHABLE) from exc


def checked(data: bytes, where: str) -> dict[str, Any]:
    """The body of an answer of JetStream. Raises NotFound (404), Transient (anything else that is an error)."""
    try:
        body: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise Transient("not an answer of JetStream", code="bus.protocol", where=where) from exc
    error = body.get("error")
    if error is None:
        return body
    description = str(error.get("description", "unknown"))
    if error.get("code") == 404:  # noqa: PLR2004 - JetStream borrows HTTP's numbers
        raise NotFound(description, code="bus.not-found", where=where)
    full = "maximum" in description or "insufficient" in description
    hint = "the control plane does not keep up, or NATS's disk is full" if full else None
    raise Transient(description, code="bus.full" if full else "bus.refused", where=where, hint=hint)


def unstored(error: Transient) -> Transient:
    """What a publisher hears: silence is what a full disk looks like, and nats-server needs a restart after that."""
    if error.code != "bus.timeout":
        return error
    return Transient("the bus did not say in time that it is stored", code=error.code, where=error.where, hint=SILENT)
