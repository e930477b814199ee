"""All kinds of an installation, checked against each other once. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import BaseModel

from agentplane.domains import facts, views
from agentplane.domains.controller import Controller
from agentplane.domains.model import Domain, Kind
from agentplane.domains.resource import RESERVED_KINDS
from agentplane.domains.views import View
from agentplane.errors import NotFound, Refused
from agentplane.events.upcasting import OURS, OWN_TYPES, EventType, Upcasters
from agentplane.projections.engine import PROJECTIONS, Projection

_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_PLURAL: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_API_VERSION: Final = re.compile(r"[a-z0-9.-]+/v[0-9]+((alpha|beta)[0-9]+)?")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VIEWS: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
# words of the command line that are ours, whether or not our own domains are in a registry
_TAKEN_WORDS: Final = frozenset({"runs", "run", "executors", "executor", "deadletters", "deadletter"})


class Registry:
    """Kinds and controllers by name, in the order in which domains were given."""

    def __init__(self, domains: Sequence[Domain]) -> None:
        """Raises Refused, code `domain.invalid`: two domains claim the same, or a declaration is not one."""
        self.domains = tuple(domains)
        self.kinds: dict[str, Kind] = {}  # that are made of documents
        self.special: dict[str, Kind] = {}  # that are not: runs and executors
        self.controllers: dict[str, Controller] = {}
        self.projections: dict[str, Projection] = {}
        self._words: dict[str, str] = {}
        for domain in self.domains:
            for kind in domain.kinds:
                self._add_kind(domain, kind)
        self.upcasters = Upcasters((*OURS.types, *(each for domain in self.domains for each in _events(domain))))
        for domain in self.domains:
            for projection in dict.fromkeys((*domain.projections, *(view.projection for view in domain.views))):
                self._add_projection(domain, projection)
        self.facts = facts.collect((domain.name, domain.facts) for domain in self.domains)
        taken = _TAKEN_WORDS | self._words.keys()
        self.views = views.collect(((domain.name, domain.views) for domain in self.domains), taken)

    def view(self, word: str) -> View | None:
        """A view by its singular or plural, in any case; None: there is none of that name."""
        known = (each for each in self.views.values() if word.lower() in {each.singular, each.plural})
        return next(known, None)

    def kind(self, word: str) -> Kind:
        """Any kind by its name or plural, in any case. Raises NotFound, code `kind.unknown`."""
        name = self._words.get(word.lower())
        if name is None:
            every = sorted((*self.kinds, *self.special))
            hint = f"there are: {', '.join((*every, *self.views))}" if every else "no domain is installed"
            raise NotFound(f"no kind {word[:63]!r}", code="kind.unknown", hint=hint)
        return self.kinds.get(name) or self.special[name]

    def documented(self, word: str) -> Kind:
        """A kind that is made of documents. Raises NotFound, as `kind`; Refused, code `kind.no-documents`."""
        known = self.kind(word)
        if known.made_by:
            raise Refused(f"{known.name}: no document makes one", code="kind.no-documents", hint=known.made_by)
        return known

    def __iter__(self) -> Iterator[Kind]:
        return iter((*self.kinds.values(), *self.special.values()))

    def _add_kind(self, domain: Domain, kind: Kind) -> None:
        _check_kind(domain, kind)
        words = {kind.name.lower(), kind.plural}
        reserved = (kind.name in RESERVED_KINDS or words & _TAKEN_WORDS) and not kind.made_by
        if reserved or words & self._words.keys():
            raise _invalid(domain, f"the kind {kind.name} ({kind.plural}) is taken")
        (self.special if kind.made_by else self.kinds)[kind.name] = kind
        self._words |= dict.fromkeys(words, kind.name)
        for controller in kind.controllers:
            self._add_controller(domain, controller)

    def _add_controller(self, domain: Domain, controller: Controller) -> None:
        name = getattr(controller, "NAME", "")
        if not _NAME.fullmatch(name):
            raise _invalid(domain, f"{type(controller).__name__} needs a NAME of a-z, 0-9 and '-'")
        if not getattr(controller, "WATCH", ()) or controller.VERSION < 1:
            raise _invalid(domain, f"the controller {name} watches nothing, or has no VERSION from 1 on")
        if name in self.controllers:
            raise _invalid(domain, f"there is another controller {name}")
        self.controllers[name] = controller

    def _add_projection(self, domain: Domain, projection: Projection) -> None:
        if not _VIEWS.fullmatch(projection.name) or projection.name in PROJECTIONS | self.projections:
            raise _invalid(
                domain, f"the projection {projection.name[:63]!r} is taken, or not named by a-z, 0-9 and '_'"
            )
        self.projections[projection.name] = projection._replace(upcasters=self.upcasters)


def _events(domain: Domain) -> tuple[EventType, ...]:
    for each in domain.events:
        if each.name.startswith(OWN_TYPES):
            raise _invalid(domain, f"events of the type {each.name[:63]!r} are not a domain's")
    return domain.events


def _check_kind(domain: Domain, kind: Kind) -> None:
    shapes = (
        (_KIND.fullmatch(kind.name), "a kind's name is a CamelCase word"),
        (_PLURAL.fullmatch(kind.plural), "a plural is a lower-case word"),
        (_API_VERSION.fullmatch(kind.api_version), "an apiVersion is group/v1, group/v1beta2, …"),
        (issubclass(kind.spec, BaseModel), "a spec is a pydantic model"),
    )
    for fits, words in shapes:
        if not fits:
            raise _invalid(domain, f"{kind.name[:63]!r}: {words}")


def _invalid(domain: Domain, message: str) -> Refused:
    return Refused(message, code="domain.invalid", where=f"domain {domain.name}", hint="docs/domains.md")
