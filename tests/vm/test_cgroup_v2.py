"""Control groups version 2, on a guest that has them: the hosts of CI and of developers may have version 1 only."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from agentplane.guests.spec import parse_guest
from agentplane.runners.host import Host
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Timeouts
from agentplane.runs.model import Resources, StorePath
from tests.vm.conftest import ROOT, MakePlan
from tests.vm.test_qemu_runs import run

pytestmark = pytest.mark.vm

FIXTURE = ROOT / "tests" / "fixtures" / "cgroup-v2"


def test_limits_of_version_2_bite(host: Host, plan: MakePlan, nix: Nix, tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed: init cannot be replaced")
    spec = _guest(nix, tmp_path)
    asked = plan(
        "cgroup-v2",
        spec=spec,
        resources=Resources(vcpus=1, memory_mib=512, disk_mib=1),
        timeouts=Timeouts(boot_s=60.0),
    )
    _, directory = run(host, asked)
    serial = (directory / "serial.log").read_text(errors="replace")
    lines = [line for line in serial.splitlines() if line.startswith("cgroup-v2 ")]
    assert lines, serial
    facts = json.loads(lines[0].removeprefix("cgroup-v2 "))
    assert facts["enforced"] == ["memory", "swap", "cpu", "pids"] or facts["enforced"] == ["memory", "cpu", "pids"]
    assert facts["directory"] == "/sys/fs/cgroup/service/agentplane-run-1-1"
    assert facts["own"] == "0::/service/agentplane-supervisor"
    assert facts["cpu"] == "150000 100000"
    assert facts["allocate"] == -9
    assert facts["oomKills"] >= 1
    assert 32 << 20 < facts["peak"] <= 64 << 20 or facts["peak"] == 0  # memory.peak came with Linux 5.19
    assert 0 < facts["forks"] < 20
    assert (facts["destroyed"], facts["left"]) == (True, False)


def _guest(nix: Nix, tmp_path: Path) -> StorePath:
    """The fixture as a guest whose init is the fixture's own: a second archive behind the initrd's overrides it."""
    bundle = tmp_path / "bundle"
    shutil.copytree(FIXTURE, bundle)
    shutil.copy(ROOT / "agentplane" / "runners" / "shim" / "cgroups.py", bundle / "cgroups.py")
    source = nix.add_tree(bundle, "bundle-cgroup-v2")
    built = nix.build_guest(source, "cgroup-v2", "guest.nix", "smoke.sh")
    spec = parse_guest(Path(built.path).read_bytes())
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    shutil.copy(FIXTURE / "init", overlay / "init")
    (overlay / "init").chmod(0o755)
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"],
        input=b"init\n",
        cwd=overlay,
        capture_output=True,
        check=True,
    )
    (tmp_path / "initrd").mkdir()
    (tmp_path / "initrd" / "initrd.cpio").write_bytes(Path(spec.initrd).read_bytes() + archive.stdout)
    initrd = nix.add_tree(tmp_path / "initrd", "initrd-cgroup-v2")
    path = tmp_path / "spec.json"
    document = {**msgspec.json.decode(Path(built.path).read_bytes()), "initrd": f"{initrd.path}/initrd.cpio"}
    path.write_bytes(msgspec.json.encode(document))
    return StorePath(path=str(path), nar_hash=built.nar_hash)
