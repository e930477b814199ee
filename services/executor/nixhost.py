"""The host as it is: Nix for what runs, a runner per backend, and what was found out about both at start."""

import contextlib
import hashlib
import os
import platform
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentplane import __version__
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Broken, NotFound
from agentplane.guests.spec import parse_guest
from agentplane.runners import launch as launches
from agentplane.runners.activation import connection
from agentplane.runners.command import run
from agentplane.runners.host import Host as HostPrograms
from agentplane.runners.host import Sockets, program
from agentplane.runners.kit import Kit, find_kit
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Ending, Execution, InputImage, Plan, Runner
from agentplane.runners.probe import Probe
from agentplane.runners.process import ProcessRunner
from agentplane.runners.qemu import QemuRunner
from agentplane.runners.spare import Spare
from agentplane.runners.trial import try_sandbox
from agentplane.runs.model import GuestPin, StorePath
from agentplane.runs.protocol import Acceleration, Assignment
from services.executor.bundles import guest_of, puller
from services.executor.config import ExecutorSettings
from services.executor.facts import Probed
from services.executor.runstate import Prepared

log = get_logger()

_CAUSE_CHARS: Final = 500
_UNPROBED: Final = Acceleration(usable=False, cause="absent: no virtual machines on this host")


class NixHost:
    """See `services.executor.host.Host`."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self._settings = settings
        self._once = threading.Lock()
        self._stopping = threading.Event()
        self._pull = puller(settings.bundles, settings.state_dir, self._stopping)
        self._made: Nix | None = None
        self._spare = Spare()
        programs = HostPrograms(
            state_dir=settings.state_dir,
            first_uid=settings.qemu_uids.first,
            uids=settings.qemu_uids.count,
            sockets=sockets_of(settings),
            spare=self._spare,
        )
        self._programs = programs
        self._probe = Probe(settings.state_dir, units=programs)
        self._runners: Mapping[str, Runner] = {
            "microvm": QemuRunner(programs),
            "process": ProcessRunner(programs),
        }
        self._probed: Probed | None = None

    @property
    def probed(self) -> Probed:
        """What was found out; nothing is usable before it was."""
        return self._probed or Probed(backends=(), kvm=_UNPROBED, versions={})

    def stop(self) -> None:
        """Download and build no further: what is under way fails, and is done again after the next start."""
        self._stopping.set()
        stop_builds()
        self._spare.close()

    def find_out(self) -> Probed:
        """Try every configured backend, once; may build the probe guest, and fetch its kernel, which takes a while."""
        with self._once:
            if self._probed is None:
                self._probed = self._try_backends()
            return self._probed

    def _nix(self) -> Nix:
        if self._made is None:
            self._made = Nix(self._settings.state_dir, kit_of(self._settings), pull=self._pull)
        return self._made

    def _try_backends(self) -> Probed:
        """What does not work is left out, and logged with its reason."""
        versions = {"agentplane": __version__, "kernel": platform.release(), **_version_of_nix()}
        kvm, backends = _UNPROBED, []
        for backend in self._settings.backends:
            try:
                if backend == "microvm":
                    versions["qemu"] = self._probe.qemu_version()
                    self._check_unit()
                    kvm = self._probe.kvm(self._nix().build_probe())
                else:
                    _try_sandbox(self._programs)
                backends.append(backend)
            except AgentplaneError as exc:
                log.warning("backend is not usable", backend=backend, code=exc.code, reason=str(exc), hint=exc.hint)
                if backend == "microvm":  # what heartbeats can carry of the reason
                    kvm = Acceleration(usable=False, cause=f"{exc.code}: {exc}"[:_CAUSE_CHARS])
        return Probed(backends=tuple(backends), kvm=kvm, versions=versions)

    def _check_unit(self) -> None:
        """That there is a unit for virtual machines to ask. Raises Transient: code `runner.socket`."""
        if (sockets := self._programs.sockets) is not None:
            with connection(sockets.machine):
                return

    def prepare(self, assignment: Assignment) -> Prepared:
        """See `Host.prepare`."""
        probed = self.find_out()
        if self._programs.sockets is None:
            self._spare.warm()
        for pinned in (assignment.pins.source, *(item.tree for item in assignment.pins.inputs)):
            self._nix().fetch(pinned)
        spec = guest_of(assignment, self._nix(), self._settings.bundles)
        self._nix().verify_closure(spec.path)
        if assignment.backend == "process":
            return Prepared(
                spec=spec,
                guest=None,
                inputs=tuple(InputImage(name=item.name, image=item.tree) for item in assignment.pins.inputs),
                accelerator="none",
            )
        kernel = parse_guest(Path(spec.path).read_bytes()).kernel
        return Prepared(
            spec=spec,
            guest=GuestPin(spec=spec, kernel=kernel, qemu=probed.versions.get("qemu", "unknown")),
            inputs=tuple(
                InputImage(name=item.name, image=self._image(item.name, item.tree)) for item in assignment.pins.inputs
            ),
            accelerator="kvm" if probed.kvm.usable else "tcg",
        )

    def launch(self, backend: str, plan: Plan, secrets: dict[str, bytes]) -> Execution:
        """See `Host.launch`."""
        runner = self._runners.get(backend)
        if runner is None:
            raise Broken(f"this executor has no backend {backend!r}", code="host.backend")
        return runner.launch(plan, secrets)

    def adopt(self, plan: Plan) -> Execution | Ending | None:
        """See `Host.adopt`."""
        try:
            return launches.adopt(launches.launch_directory(plan.run_dir, plan.attempt))
        except NotFound:
            return None

    def _image(self, name: str, tree: StorePath) -> StorePath:
        image = self._nix().build_input_image(name, tree)
        self._nix().verify(image)
        return image


def kit_of(settings: ExecutorSettings) -> Kit:
    """The configured guest kit. Raises Broken: `kit.missing`, `kit.kernel`."""
    if settings.kernel_deb is None:
        chosen = {"AGENTPLANE_VM_KIT": str(settings.vm_kit)}
        return find_kit(settings.state_dir, {**chosen, "NIX_PATH": os.environ.get("NIX_PATH", "")})
    try:
        with settings.kernel_deb.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise Broken(f"cannot be read: {exc.strerror}", code="kit.kernel", where=str(settings.kernel_deb)) from exc
    return Kit(root=settings.vm_kit, kernel_deb=settings.kernel_deb, kernel_sha256=digest)


def sockets_of(settings: ExecutorSettings) -> Sockets | None:
    """Where systemd takes launches; None: nowhere."""
    if (guests := settings.guests) is None:
        return None
    return Sockets(machine=guests.socket, process=guests.process_socket or guests.socket.with_name("process.sock"))


def stop_builds() -> None:
    """End this process's own short-lived children (Nix, in our session); shims have sessions of their own."""
    own_session = os.getsid(0)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and os.getsid(int(entry.name)) == own_session:
                os.kill(int(entry.name), signal.SIGTERM)


def _version_of_nix() -> dict[str, str]:
    try:
        return {"nix": run(["nix", "--version"], timeout_s=10).text.rpartition(" ")[2]}
    except AgentplaneError as exc:
        log.warning("Nix is not usable", code=exc.code, reason=str(exc))
        return {}


def _try_sandbox(host: HostPrograms) -> None:
    if host.sockets is not None:
        try_sandbox(host, host.sockets.process)
        return
    bubblewrap = program(host.bubblewrap)
    argv = [bubblewrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind", "/", "/", "true"]
    run(argv, timeout_s=10, code="host.sandbox", hint="are unprivileged user namespaces enabled here?")
