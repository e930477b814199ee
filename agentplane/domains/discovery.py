"""The domains that are installed: our own first, then those of the entry point group `agentplane.domains`.

Our own are the folders of this package that declare a DOMAIN: a new one is listed nowhere. A domain of somebody else
that cannot be loaded is left out and named; it stops neither ours nor the others. This is the one module of the
package that looks at the installation.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Final

import msgspec

from agentplane import domains as package
from agentplane.domains.model import Domain
from agentplane.domains.registry import Registry
from agentplane.domains.runs import DOMAIN as RUNS
from agentplane.errors import AgentplaneError

GROUP: Final = "agentplane.domains"


def folders() -> tuple[Domain, ...]:
    """Our own domains, by folder: runs, which everything else serves, then the others by name.

    Raises whatever importing one raises: a folder of ours that is broken is a defect, and is not passed over.
    """
    names = sorted(each.name for each in iter_modules(package.__path__) if each.ispkg)
    found = (getattr(import_module(f"{package.__name__}.{name}"), "DOMAIN", None) for name in names)
    others = (each for each in found if isinstance(each, Domain) and each is not RUNS)
    return (RUNS, *others)


OURS: Final = folders()


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A domain that is installed and cannot be used, and why."""

    entry_point: str
    reason: str


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """All usable kinds, and what was left out."""

    registry: Registry
    left_out: tuple[LeftOut, ...]


@cache
def installed() -> Installed:
    """What this Python environment has; looked at once."""
    return collect(tuple(entry_points(group=GROUP)))


def collect(points: tuple[EntryPoint, ...]) -> Installed:
    """Our domains and those of the given entry points, in order of their names."""
    domains: tuple[Domain, ...] = OURS
    left_out: list[LeftOut] = []
    for point in sorted(points, key=lambda each: (each.name, each.value)):
        try:
            found = point.load()
            if not isinstance(found, Domain):
                raise TypeError(f"{point.value} is a {type(found).__name__}, not a Domain")  # noqa: TRY301 - one door
            Registry((*domains, found))
        except AgentplaneError as error:
            left_out.append(LeftOut(entry_point=point.value, reason=f"{error.code}: {error}"))
        except Exception as error:  # noqa: BLE001 - somebody else's code, which may fail in any way
            left_out.append(LeftOut(entry_point=point.value, reason=f"{type(error).__name__}: {error}"[:300]))
        else:
            domains = (*domains, found)
    return Installed(registry=Registry(domains), left_out=tuple(left_out))
