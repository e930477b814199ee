"""Data that fit a fact's struct, and are as unusual as it allows."""

import random
from typing import Any, Final

from msgspec import inspect

_TEXTS: Final = ("a", "default/x", "imported.default/x", "", " ", "/", "x" * 150, "é" * 60, "\u202e", "\x00", "%", "😀")
_TIMES: Final = (
    "2026-01-01T00:00:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-01-02T00:00:00Z",
)
_ANY: Final = (None, 1, "x", [1], {"a": {"b": 1}}, True)


def nasty(type_: Any, draw: random.Random) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line per kind of type
    """A value of a type as `msgspec.inspect` describes it, as JSON has it."""
    match type_:
        case inspect.Metadata():
            return nasty(type_.type, draw)
        case inspect.UnionType():
            return nasty(draw.choice(type_.types), draw)
        case inspect.StructType():
            asked = [each for each in type_.fields if each.required or draw.random() < 0.6]
            return {each.encode_name: nasty(each.type, draw) for each in asked}
        case inspect.StrType():
            return _text(type_, draw)
        case inspect.IntType():
            least = type_.ge if type_.ge is not None else -5
            return draw.choice((least, least + 1, type_.le if type_.le is not None else 2**53 - 1))
        case inspect.BoolType():
            return draw.random() < 0.5
        case inspect.DateTimeType():
            return draw.choice(_TIMES)
        case inspect.EnumType():
            return draw.choice([each.value for each in type_.cls])
        case inspect.LiteralType():
            return draw.choice(type_.values)
        case inspect.ListType() | inspect.VarTupleType():
            return [nasty(type_.item_type, draw) for _ in range(draw.randint(type_.min_length or 0, 3))]
        case inspect.DictType():
            return {str(nasty(type_.key_type, draw)): nasty(type_.value_type, draw) for _ in range(draw.randrange(3))}
        case inspect.NoneType():
            return None
        case inspect.AnyType():
            return draw.choice(_ANY)
    raise NotImplementedError(type_)


def _text(type_: inspect.StrType, draw: random.Random) -> str:
    fit = [each for each in _TEXTS if (type_.min_length or 0) <= len(each) <= (type_.max_length or 1000)]
    return draw.choice(fit)
