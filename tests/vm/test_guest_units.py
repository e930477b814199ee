"""Guests started through a socket, as systemd does it for the units agentplane-guest@ and agentplane-process@.

A stand-in for systemd accepts, and starts the very program of the units with the connection as its standard input and
output, as a user of its own where it may. The units themselves boot guests in tests/units/story.sh.
"""

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agentplane.errors import Broken, Transient
from agentplane.guests.spec import parse_probe
from agentplane.runners import collect
from agentplane.runners import launch as launches
from agentplane.runners.host import Host, Sockets
from agentplane.runners.launch import ShimHandle
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Ending
from agentplane.runners.probe import Probe
from agentplane.runners.process import ProcessRunner
from agentplane.runners.qemu import QemuRunner
from agentplane.runners.trial import try_sandbox
from agentplane.runs.states import Outcome
from tests.vm.conftest import ROOT, MakePlan

pytestmark = pytest.mark.vm

# It becomes somebody else only once it has been read: a developer's Python may be closed to other users.
PROGRAM = """
import encodings.ascii, os, sys
from agentplane.runners.shim.unit import main
os.umask(0o007)
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(int(sys.argv[1]))
sys.exit(main())
"""
FIRST_UID = 650_000


class Systemd:
    """Accepts on a socket and starts one shim per connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shims: list[subprocess.Popen[bytes]] = []
        self._uids = itertools.count(FIRST_UID)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            link, _ = self._listener.accept()
            with link:
                if link.recv(1, socket.MSG_PEEK) == b"!":
                    return
                argv = [sys.executable, "-c", PROGRAM, str(next(self._uids))]
                self.shims.append(subprocess.Popen(argv, stdin=link.fileno(), stdout=link.fileno(), cwd=ROOT))

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.path))
            link.send(b"!")
            self._thread.join()
        self._listener.close()
        for shim in self.shims:
            shim.terminate()
            shim.wait()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    served = Systemd(tmp_path / "guest.sock")
    yield served
    served.close()


@pytest.fixture
def host(tmp_path: Path, systemd: Systemd) -> Host:
    return Host(state_dir=tmp_path / "state", sockets=Sockets(machine=systemd.path, process=systemd.path))


def ended(handle: ShimHandle) -> Ending:
    ending = handle.wait(120)
    handle.close()
    assert ending is not None
    return ending


def test_a_virtual_machine_runs_and_hands_out_its_artifacts(host: Host, plan: MakePlan, tmp_path: Path) -> None:
    asked = plan("well-behaved", seed="5", secrets=("TOKEN_FILE",))
    handle = QemuRunner(host).launch(asked, {"TOKEN_FILE": b"hush-hush"})
    ending = ended(handle)
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 5)
    (tmp_path / "out").mkdir()
    facts = collect.extract(Path(handle.directory) / "result.tar", tmp_path / "out", asked.caps.artifacts)
    assert {"report.txt", "token.sha256"} <= {fact.path for fact in facts}
    assert launches.adopt(Path(handle.directory)) == ending


def test_a_process_runs(host: Host, plan: MakePlan) -> None:
    ending = ended(ProcessRunner(host).launch(plan("well-behaved", kind="process", seed="4"), {}))
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 4)


def test_it_is_adopted_by_who_did_not_start_it_and_ended_with_its_reason(host: Host, plan: MakePlan) -> None:
    asked = plan("never-ends")
    QemuRunner(host).launch(asked, {}).close()
    handle = launches.adopt(launches.launch_directory(asked.run_dir, 1))
    assert isinstance(handle, ShimHandle)
    handle.kill("somebody asked")
    ending = ended(handle)
    assert (ending.outcome, ending.message) == (Outcome.CANCELLED, "somebody asked")


def test_systemd_ends_it_by_a_signal(host: Host, plan: MakePlan, systemd: Systemd) -> None:
    handle = QemuRunner(host).launch(plan("never-ends"), {})
    systemd.shims[-1].terminate()
    assert ended(handle).outcome is Outcome.CANCELLED


def test_a_guest_does_not_outlive_its_shim_and_is_lost(host: Host, plan: MakePlan, systemd: Systemd) -> None:
    handle = QemuRunner(host).launch(plan("never-ends"), {})
    qemu = os.pidfd_open(json.loads((Path(handle.directory) / "launched.json").read_text())["program_pid"])
    systemd.shims[-1].send_signal(signal.SIGKILL)
    systemd.shims[-1].wait()
    assert ended(handle).outcome is Outcome.LOST
    assert select.select([qemu], [], [], 5)[0] == [qemu]
    os.close(qemu)


def test_no_guest_reaches_a_launch_directory_or_its_shim(host: Host, plan: MakePlan, systemd: Systemd) -> None:
    first, second = (QemuRunner(host).launch(plan("never-ends"), {}) for _ in range(2))
    for handle in (first, second):
        launched = json.loads((Path(handle.directory) / "launched.json").read_text())
        held = [str(entry.readlink()) for entry in Path(f"/proc/{launched['program_pid']}/fd").iterdir()]
        assert len(held) > 5
        assert handle.directory not in held
        if os.geteuid() == 0:  # else the shim has our own user, and so has the guest
            assert Path(f"/proc/{launched['shim_pid']}/mem").stat().st_uid == 0  # not dumpable: closed to its own user
            assert Path(f"/proc/{launched['program_pid']}/mem").stat().st_uid == launched["uid"]
        handle.kill("seen enough")
    uids = {json.loads((Path(handle.directory) / "launched.json").read_text())["uid"] for handle in (first, second)}
    assert len(uids) == (2 if os.geteuid() == 0 else 1)
    assert all(ended(handle).outcome is Outcome.CANCELLED for handle in (first, second))


def test_what_does_not_start_is_told(host: Host, plan: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "qemu").write_text("#!/no/such/interpreter\n")
    (tmp_path / "qemu").chmod(0o755)
    asked = plan("never-ends")
    with pytest.raises(Broken, match="does not start") as broken:
        QemuRunner(msgspec.structs.replace(host, qemu=str(tmp_path / "qemu"))).launch(asked, {})
    assert broken.value.code == "runner.launch"
    ending = launches.adopt(launches.launch_directory(asked.run_dir, 1))
    assert isinstance(ending, Ending)
    assert (ending.outcome, ending.started) == (Outcome.HOST_FAILED, False)


def test_without_the_socket_nothing_is_prepared_and_the_remedy_is_named(plan: MakePlan, tmp_path: Path) -> None:
    missing = Sockets(machine=tmp_path / "guest.sock", process=tmp_path / "process.sock")
    asked = plan("never-ends")
    with pytest.raises(Transient) as away:
        QemuRunner(Host(state_dir=tmp_path, sockets=missing)).launch(asked, {})
    assert away.value.code == "runner.socket"
    assert "systemctl start agentplane-guest.socket" in (away.value.hint or "")
    assert not Path(asked.run_dir).exists()


def test_the_probe_boots_behind_the_unit(host: Host, nix: Nix) -> None:
    probe = parse_probe(Path(nix.build_probe().path).read_bytes())
    assert Probe(host.state_dir, units=host).boot(probe, "tcg", 60.0).cause == "ok"
    assert Probe(host.state_dir, units=host).boot(probe, "tcg", 0.05).cause.startswith("hang: ")


def test_a_sandbox_is_tried_behind_its_unit(host: Host, systemd: Systemd) -> None:
    try_sandbox(host, systemd.path)
    with pytest.raises(Broken) as broken:
        try_sandbox(msgspec.structs.replace(host, bubblewrap="false"), systemd.path)
    assert broken.value.code == "host.sandbox"


def test_who_only_asks_whether_it_is_there_starts_nothing(systemd: Systemd) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(systemd.path))
        link.shutdown(socket.SHUT_WR)
        assert link.recv(1) == b""


@pytest.mark.parametrize("said", [b"agentplane launch 2\n", b"agentplane launch 1\n", b"x"])
def test_a_connection_that_brings_no_launch_is_refused(systemd: Systemd, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(systemd.path))
        link.send(said)
        assert b"the connection brought no launch" in link.recv(200)
