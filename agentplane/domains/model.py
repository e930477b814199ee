"""What a domain declares. Pure: declaring does nothing, the registry checks it, discovery finds it."""

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from agentplane.domains.controller import Controller
from agentplane.domains.facts import FactType
from agentplane.domains.views import View
from agentplane.events.upcasting import EventType
from agentplane.projections.engine import Projection


class Spec(BaseModel):
    """Base of specs: unknown fields are errors, values are immutable, fields are camelCase in documents.

    Write numbers with a fraction as strings or in a smaller unit: events hold no floats.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of resource. `columns`: header and dotted path (`spec.tier`, `status.phase`) of what a list shows.

    Most kinds are made of documents. One that is not says by which command (`made_by`), and has controllers of its own
    (`decided_by`, see agentplane.controllers.versions); `labels` are then what selectors see of it, as `columns` are.
    """

    name: str  # "Organization"
    plural: str  # "organizations", as people write it on the command line
    api_version: str  # "agentplane.io/v1alpha1"
    spec: type[BaseModel]
    controllers: tuple[Controller, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    description: str = ""
    made_by: str = ""  # "agentplane run BUNDLE"; empty: `agentplane apply`
    labels: tuple[tuple[str, str], ...] = ()
    decided_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One folder: kinds with their controllers, and read models over any facts.

    `events`: the types that its controllers emit and whose form has changed since they were first written. `facts`: the
    types that people and agents may record. `views`: how read models are shown; their projections are kept, too.
    """

    name: str
    kinds: tuple[Kind, ...] = field(default=())
    projections: tuple[Projection, ...] = field(default=())
    events: tuple[EventType, ...] = field(default=())
    facts: tuple[FactType, ...] = field(default=())
    views: tuple[View, ...] = field(default=())
