"""One question over the bus and its answer, between programs of different versions.

A newer command line can ask an older query service: fields that have their default are left out of the question, and
what an answer has beyond what is known here is passed over. Where that is not enough, the error is `query.version`
and names both sides.
"""

from typing import Any, Final, TypeVar

import msgspec

from agentplane.bus import subjects
from agentplane.errors import AgentplaneError, Refused, Transient
from agentplane.ports import Bus
from agentplane.queries import protocol as wire

_BEYOND_IT: Final = frozenset({"query.malformed", "query.unknown"})  # what an older service says to newer questions

T = TypeVar("T")


async def ask(bus: Bus, tenant: str, name: str, wish: msgspec.Struct, type_: type[T], *, timeout_s: float) -> T:
    """The answer to a question.

    Raises:
        AgentplaneError: what the service raised. Refused: code `query.version`. Transient: nobody answered, or code
            `query.protocol`.
    """
    subject = subjects.query(tenant, name)
    return answer(await bus.request(subject, asked(wish), timeout_s=timeout_s), type_, where=subject)


def asked(wish: msgspec.Struct) -> bytes:
    """The bytes of a question: fields with their default are left out, so that older services can read it."""
    said: dict[str, Any] = {}
    for field in msgspec.structs.fields(wish):
        value = getattr(wish, field.name)
        if field.default is msgspec.NODEFAULT or value != field.default:
            said[field.encode_name] = value
    return msgspec.json.encode(said)


def answer(data: bytes, type_: type[T], *, where: str) -> T:
    """What an answer says. Raises as `ask`."""
    found = wire.Answer()
    try:
        found = msgspec.json.decode(data, type=wire.Answer)
        if found.error is None and bytes(found.ok):
            return msgspec.json.decode(found.ok, type=type_)
    except msgspec.DecodeError as exc:
        if found.protocol > wire.PROTOCOL:
            raise _skew(found.protocol, where, f"its answer cannot be read here: {exc}") from exc
        raise Transient(f"not an answer: {exc}", code="query.protocol", where=where) from exc
    if found.error is None:
        raise Transient("an empty answer", code="query.protocol", where=where)
    raise _raised(found, found.error, where)


def _raised(found: wire.Answer, error: wire.Error, where: str) -> AgentplaneError:
    if found.protocol < wire.PROTOCOL and error.code in _BEYOND_IT:
        return _skew(found.protocol, where, error.message)
    return wire.raised(error)


def _skew(theirs: int, where: str, why: str) -> Refused:
    older = "the query service" if theirs < wire.PROTOCOL else "this command line"
    return Refused(
        f"the query service speaks protocol {theirs}, this command line {wire.PROTOCOL}: {why}",
        code="query.version",
        where=where,
        hint=f"upgrade {older}; `agentplane --version` says what this one is",
    )
