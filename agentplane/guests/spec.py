"""The specifications that the guest kit (vm/) builds: strictly parsed, never trusted to be well-formed. Pure.

A spec names store paths; whether they hold what was pinned is the runner's business (`agentplane.runners.nix`).
"""

import re
from typing import Final, Literal, TypeVar

import msgspec

from agentplane.errors import Refused
from agentplane.runs.model import Wire

MAX_SPEC_BYTES: Final = 4 << 20
STORE_PATH: Final = re.compile(r"/nix/store/[0-9a-df-np-sv-z]{32}-[A-Za-z0-9+._?=-]+(/[A-Za-z0-9+._?=@-]+)*")
_ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Machine(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the guest's kernel and initrd can be started on."""

    arch: Literal["x86_64"]
    types: tuple[Literal["microvm", "q35"], ...]
    min_memory_mib: int = msgspec.field(name="minMemoryMiB")
    tcg_cmdline: str  # added under emulation only


class GuestSpec(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A slim guest: kernel and initrd shared by all bundles, and the payload that is its own."""

    api_version: Literal["agentplane.guest/v1"]
    name: str
    kernel: str
    initrd: str
    machine: Machine
    cmdline: str
    image: str  # erofs, becomes /nix/store
    entry: str
    environment: dict[str, str]
    path: tuple[str, ...]
    working_directory: str


class ProbeSpec(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same kernel and initrd with nothing to do but say `sentinel` on the serial console."""

    api_version: Literal["agentplane.guest/v1"]
    name: str
    kernel: str
    initrd: str
    machine: Machine
    cmdline: str
    sentinel: str


class ProcessSpec(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle without a virtual machine: what a sandbox binds and what it starts."""

    api_version: Literal["agentplane.process/v1"]
    name: str
    entry: str
    environment: dict[str, str]
    path: tuple[str, ...]
    working_directory: str
    links: dict[str, str]  # path in the sandbox -> store path
    closure: tuple[str, ...]


_Spec = TypeVar("_Spec", GuestSpec, ProbeSpec, ProcessSpec)


def parse_guest(data: bytes) -> GuestSpec:
    """A guest spec out of its JSON. Raises Refused: code `guest.spec`."""
    spec = _decode(data, GuestSpec)
    _check_machine(spec)
    _check_store_paths(image=spec.image, entry=spec.entry, workingDirectory=spec.working_directory)
    _check_workload(spec)
    return spec


def parse_probe(data: bytes) -> ProbeSpec:
    """A probe spec out of its JSON. Raises Refused: code `guest.spec`."""
    spec = _decode(data, ProbeSpec)
    _check_machine(spec)
    if not spec.sentinel:
        raise _refuse("sentinel is empty")
    return spec


def parse_process(data: bytes) -> ProcessSpec:
    """A process spec out of its JSON. Raises Refused: code `guest.spec`."""
    spec = _decode(data, ProcessSpec)
    _check_store_paths(entry=spec.entry, workingDirectory=spec.working_directory)
    _check_workload(spec)
    for path in (*spec.closure, *spec.links.values()):
        _check_store_paths(closure=path)
    for link in spec.links:
        if not re.fullmatch(r"(/[a-z0-9]+){2,3}", link):
            raise _refuse(f"link {link!r} is not a plain absolute path")
    return spec


def _decode(data: bytes, kind: type[_Spec]) -> _Spec:
    if len(data) > MAX_SPEC_BYTES:
        raise _refuse(f"{len(data)} bytes is more than a spec may have ({MAX_SPEC_BYTES})")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _refuse(str(exc)) from exc


def _check_machine(spec: GuestSpec | ProbeSpec) -> None:
    _check_store_paths(kernel=spec.kernel, initrd=spec.initrd)
    if not spec.machine.types:
        raise _refuse("machine.types is empty")
    for line in (spec.cmdline, spec.machine.tcg_cmdline):
        if not line.isprintable():
            raise _refuse("a kernel command line holds a control character")


def _check_workload(spec: GuestSpec | ProcessSpec) -> None:
    for directory in spec.path:
        if not directory.startswith("/") or ":" in directory or not directory.isprintable():
            raise _refuse(f"path entry {directory!r} is not an absolute directory")
    for name, value in spec.environment.items():
        if not _ENVIRONMENT_NAME.fullmatch(name) or "\0" in value:
            raise _refuse(f"environment entry {name!r} cannot be passed to a program")


def _check_store_paths(**paths: str) -> None:
    for field, path in paths.items():
        if not STORE_PATH.fullmatch(path) or ".." in path.split("/"):
            raise _refuse(f"{field} is {path!r}, not a path in /nix/store")


def _refuse(reason: str) -> Refused:
    return Refused(
        f"the guest specification is not usable: {reason}",
        code="guest.spec",
        hint="build it with the guest kit of this version (vm/default.nix)",
    )
