"""The unit files: silent under `systemd-analyze verify`, and as closed as their scores say."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agentplane.daemon.config import Settings, check_settings
from services.control.config import ControlSettings
from services.executor.config import ExecutorSettings
from services.projector.config import ProjectorSettings

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "services" / "units"
SERVICES = ("control", "projector", "executor")
GUESTS = ("guest@", "process@")
# What a unit may be exposed at most (systemd-analyze security, 0 to 10). QEMU runs in `guest@`. `process@` is where
# bubblewrap makes namespaces, which costs most of that. docs/deploy.md and the unit files name each cost.
EXPOSURE = {"control": 1.1, "projector": 1.1, "database": 1.2, "executor": 1.1, "guest@": 0.4, "process@": 2.3}
EXPOSURE |= {"backup-control": 0.8, "backup-executor": 0.8, "prefetch": 1.1}
MODELS: dict[str, type[Settings]] = {
    "control": ControlSettings,
    "projector": ProjectorSettings,
    "executor": ExecutorSettings,
}


@pytest.fixture(scope="session")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        reason = "systemd-analyze is not installed (Debian: apt-get install systemd): the units are unchecked"
        if os.environ.get("AGENTPLANE_REQUIRE_STACK") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units beside programs of their names: `verify` looks for those."""
    for name in ("agentplane", *(f"agentplane-{daemon}" for daemon in (*SERVICES, "database", "guest", "prefetch"))):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    for unit in UNITS.iterdir():
        text = re.sub(r"^(Exec\w+)=agentplane\b", rf"\1={tmp_path}/agentplane", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def directives(daemon: str, name: str) -> list[str]:
    """The values of a directive in a unit file."""
    lines = (UNITS / f"agentplane-{daemon}.service").read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def test_systemd_finds_nothing_to_say(analyze: str, installed: Path) -> None:
    units = sorted(str(path) for path in installed.iterdir() if path.suffix != "")
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    # an unknown key only warns and exits 0: every line counts, but those about other packages' units
    about_ours = [line for line in done.stderr.splitlines() if "agentplane" in line]
    assert about_ours == []
    assert done.returncode == 0


def test_verify_would_notice(analyze: str, installed: Path) -> None:
    unit = installed / "agentplane-control.service"
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHome=yes\nProtectHorne=yes"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "ProtectHorne" in done.stderr


@pytest.mark.parametrize("daemon", EXPOSURE)
def test_its_exposure_is_at_most(analyze: str, daemon: str) -> None:
    threshold = round(EXPOSURE[daemon] * 10)
    argv = [analyze, "security", "--offline=true", f"--threshold={threshold}", "--no-pager"]
    done = subprocess.run(
        [*argv, str(UNITS / f"agentplane-{daemon}.service")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("daemon", SERVICES)
def test_nobody_is_root_or_becomes_it(daemon: str) -> None:
    assert directives(daemon, "NoNewPrivileges") == ["yes"]
    assert directives(daemon, "CapabilityBoundingSet") == [""]
    if daemon == "executor":  # owns what outlives it, and is known to the socket of the guests
        assert directives(daemon, "User") == ["agentplane-executor"]
    else:
        assert directives(daemon, "DynamicUser") == ["yes"]


@pytest.mark.parametrize("guest", GUESTS)
def test_each_guest_has_a_user_of_its_own_and_sees_no_other_run(guest: str) -> None:
    (user,) = directives(guest, "User")
    assert user.endswith("-%i")  # the instance: else all guests would share one
    assert directives(guest, "DynamicUser") == ["yes"]
    assert directives(guest, "PrivateNetwork") == ["yes"]
    assert "/var:ro" in directives(guest, "TemporaryFileSystem")[0].split()
    assert directives(guest, "Group") == directives("executor", "Group")


@pytest.mark.parametrize(("socket", "path"), [("guest", "guest.sock"), ("process", "process.sock")])
def test_only_the_executor_has_guests_started(socket: str, path: str) -> None:
    text = (UNITS / f"agentplane-{socket}.socket").read_text().splitlines()
    wanted = {f"ListenStream=%t/agentplane/{path}", "Accept=yes", "SocketUser=agentplane-executor", "SocketMode=0600"}
    assert wanted <= set(text)


@pytest.mark.parametrize("daemon", SERVICES)
def test_its_secrets_are_credentials_under_the_names_that_the_debian_configuration_uses(
    daemon: str, tmp_path: Path
) -> None:
    given = {entry.partition(":")[0] for entry in directives(daemon, "LoadCredential")}
    text = (ROOT / "scripts" / "debian" / "provision.py").read_text()
    namespace: dict[str, object] = {"__name__": "provision", "__file__": str(tmp_path)}
    exec(compile(text, "provision.py", "exec"), namespace)  # noqa: S102 - our own script, which is no module
    documents = namespace["documents"]
    assert callable(documents)
    document = documents("exec-a")[daemon]
    check_settings(document, MODELS[daemon], origin="provision.py")
    private = rf"/run/(?:credentials/agentplane-{daemon}\.service|agentplane-{daemon})/([\w.]+)"
    assert set(re.findall(private, json.dumps(document))) == given


@pytest.mark.parametrize("daemon", SERVICES)
def test_what_libpq_and_the_bus_read_is_copied_to_files_that_they_take(daemon: str) -> None:
    (copy,) = [line for line in directives(daemon, "ExecStartPre") if line.startswith("install ")]
    words = copy.split()
    assert words[:5] == ["install", "-m", "0400", "-t", f"%t/agentplane-{daemon}"]
    given = {entry.partition(":")[0] for entry in directives(daemon, "LoadCredential")}
    assert {word.removeprefix("%d/") for word in words[5:]} == given - {"control.key", "executor.key"}
