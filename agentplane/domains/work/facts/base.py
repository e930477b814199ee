"""What the facts of all families share: field types, and where a fact came from. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

_WORD = r"^[^\x00-\x1f\x7f]+(?![\s\S])"  # of one line, and nothing that a terminal or a database would trip over
Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=_WORD)]
Agent = Annotated[
    str,
    Meta(min_length=1, max_length=200, pattern=_WORD, description="Who, as people write it: `project-a/worker-1`"),
]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=20_000)]
Count = Annotated[int, Meta(ge=0)]
Millis = Annotated[int, Meta(ge=0, description="Milliseconds")]
Fraction = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,15}(\.[0-9]{1,40})?([eE]-[0-9]{1,3})?$",  # as JSON writers put one
        description="Milliseconds with a fraction, as text",
    ),
]
WorkOrderId = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=_WORD, description="Of the work order that it is about")
]


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all facts: names as in VerMAS' documents. Fields beyond the declared ones are kept, and not read."""

    original_type: Annotated[str, Meta(description="The type as its source wrote it, if another")] | None = None
    original_id: Annotated[str, Meta(description="The id as its source wrote it")] | None = None
    original_correlation: Annotated[str, Meta(description="What it belongs to, as its source wrote it")] | None = None
    original_cause: Annotated[str, Meta(description="The id of its cause, as its source wrote it")] | None = None
