"""Nix: installed, builds in its sandbox, knows flakes. Proven by building, not by asking for the version."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from agentplane.doctor.check import Check, failed, passed, skipped

CONFIG = """\
experimental-features = nix-command flakes
build-users-group =
sandbox = true
sandbox-fallback = false
substituters =
"""
# the build sees only its own inputs when the sandbox works: /etc/passwd there names the build user alone
BUILD = """derivation {{ name = "agentplane-doctor-{salt}"; system = builtins.currentSystem;
  builder = "${{builtins.path {{ path = "{busybox_root}"; name = "busybox";
    filter = p: t: p == "{busybox_root}/bin" || p == "{busybox}"; }}}}/bin/busybox";
  args = [ "sh" "-c" "test ! -e {witness} && echo isolated > $out || echo open > $out" ]; }}"""


def nix(timeout_s: float = 60) -> list[Check]:
    """Whether a derivation builds here, in a sandbox, and whether flakes evaluate."""
    if shutil.which("nix-build") is None:
        missing = failed("nix.installed", "nix-build is not on PATH", "apt-get install -y nix-bin")
        return [missing, *(skipped(f"nix.{name}", "Nix is not installed") for name in ("builds", "sandbox", "flakes"))]
    version = _run(["nix", "--version"], timeout_s)
    return [passed("nix.installed", version.stdout.strip()), *_build(timeout_s), _flakes(timeout_s)]


def _run(argv: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NIX_CONFIG": CONFIG}
    try:
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"no answer within {timeout_s:.0f} s")


def _build(timeout_s: float) -> list[Check]:
    busybox = next((path for path in map(Path, ("/usr/bin/busybox", "/bin/busybox")) if path.exists()), None)
    if busybox is None:
        return [skipped(f"nix.{name}", "needs busybox-static to build with") for name in ("builds", "sandbox")]
    with tempfile.NamedTemporaryFile(prefix="agentplane-doctor-") as witness:
        expression = BUILD.format(
            salt=os.urandom(4).hex(), busybox=busybox, busybox_root=busybox.parent.parent, witness=witness.name
        )
        done = _run(["nix-build", "--no-out-link", "-E", expression], timeout_s)
    if done.returncode != 0:
        cause = done.stderr.strip().splitlines()[-1:] or ["nix-build failed"]
        fix = "sysctl -w kernel.unprivileged_userns_clone=1; chown -R root: /nix"
        return [failed("nix.builds", cause[0], fix), skipped("nix.sandbox", "nothing could be built")]
    isolated = Path(done.stdout.strip()).read_text().strip() == "isolated"
    sandbox = passed("nix.sandbox", "a build sees only its inputs")
    if not isolated:
        sandbox = failed(
            "nix.sandbox", "a build can see this host's files", "echo 'sandbox = true' >> /etc/nix/nix.conf"
        )
    return [passed("nix.builds", "built a derivation just now"), sandbox]


def _flakes(timeout_s: float) -> Check:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "flake.nix").write_text("{ outputs = _: { answer = 42; }; }")
        done = _run(["nix", "eval", "--offline", f"path:{directory}#answer"], timeout_s)
    if done.stdout.strip() == "42":
        return passed("nix.flakes", "evaluated a flake just now")
    fix = "echo 'experimental-features = nix-command flakes' >> /etc/nix/nix.conf"
    return failed("nix.flakes", (done.stderr.strip().splitlines() or ["no answer"])[-1], fix, required=False)
