"""Guests that really boot, under a plain QEMU: what they report, deliver, and keep from their workload."""

from pathlib import Path

import pytest

from tests.nix.kit import Kit
from tests.nix.machine import Hardware, Outcome, boot
from tests.nix.test_guest_build import write_bundle

pytestmark = pytest.mark.vm

NOTICE = "SPDX-License-Identifier: AGPL-3.0-only"


def run(kit: Kit, tmp_path: Path, smoke: str, hardware: Hardware | None = None, **extra: str) -> Outcome:
    """Boot a bundle that is one shell script."""
    bundle = write_bundle(
        tmp_path / "bundle", '_: { environment.GREETING = "hello\\nworld"; }', f"#!/bin/sh\n{smoke}\n"
    )
    return boot(kit.spec(bundle, "script"), tmp_path / "vm", hardware, **extra)


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_a_guest_tells_its_life_in_order(kit: Kit, tmp_path: Path, machine: str) -> None:
    outcome = boot(kit.bundle("noop"), tmp_path / "vm", Hardware(machine=machine))
    assert [event["event"] for event in outcome.events] == ["booted", "started", "exited", "finished"]
    assert (outcome.exit_code, outcome.console, outcome.artifacts) == (0, b"", {})
    assert outcome.events[-1]["resultBytes"] == len(outcome.result)


def test_the_reference_bundle_proves_its_promises(kit: Kit, tmp_path: Path) -> None:
    spec = kit.bundle("example-agent")
    first = boot(spec, tmp_path / "first", Hardware(vcpus=2))
    assert first.exit_code == 0, first.console
    assert first.words("workload") == ["smoke: checking"]
    assert first.events[-1]["consoleBytes"] == len(first.console)
    assert set(first.artifacts) == {"result.json"}
    again = boot(spec, tmp_path / "again", Hardware(vcpus=2), RUN_ID="run-2")
    assert again.artifacts == first.artifacts


def test_the_reference_bundle_fails_by_name_when_limits_are_wrong(kit: Kit, tmp_path: Path) -> None:
    outcome = boot(kit.bundle("example-agent"), tmp_path / "vm", VCPU="3", MEMORY_MIB="2048", ARTIFACTS_TARGETS="")
    assert outcome.exit_code != 0
    for promise in ("cpus_are_as_configured", "memory_is_as_configured", "artifact_directory_is_a_mount"):
        assert f"FAIL {promise}".encode() in outcome.console


@pytest.mark.parametrize(("text", "code"), [("# policy: no AGPL here\n", 0), (f"# {NOTICE}\n", 1)])
def test_the_audit_reads_its_input(kit: Kit, tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.py").write_text(text)
    disks = {"in-tree": kit.input(tmp_path / "tree", name="tree")}
    outcome = boot(kit.bundle("license-audit"), tmp_path / "vm", Hardware(disks=disks))
    assert outcome.exit_code == code, outcome.console
    assert set(outcome.artifacts) == {"report.json", "report.md"}


def test_configuration_secrets_and_disks_reach_the_entry(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("input")
    image = kit.input(tmp_path / "tree", name="tree")
    with (tmp_path / "scratch").open("wb") as scratch:
        scratch.truncate(64 << 20)
    smoke = """
      printf '%s|' "$GREETING" "$AGENTPLANE_RUN_ID" "$AGENTPLANE_TENANT" "$AGENTPLANE_SEED"
      cat "$API_TOKEN_FILE" /run/secrets/A_NAME_TOO_LONG_FOR_FW_CFG_ITSELF; stat -c '|%a|' "$API_TOKEN_FILE"
      cat /inputs/tree/file /inputs/a-name-too-long-for-a-disk/file
      touch /inputs/tree/x 2>/dev/null && echo '|input is writable'
      dd if=/dev/zero of=/scratch/big bs=1M count=48 2>/dev/null && echo '|scratch holds 48 MiB'
      echo to-stderr >/dev/stderr"""
    outcome = run(
        kit,
        tmp_path,
        smoke,
        Hardware(
            memory_mib=160,
            disks={"in-tree": image, "in-0": image, "scratch": tmp_path / "scratch"},
            secrets={"API_TOKEN_FILE": b"s3cret", "3": b"other"},
        ),
        SECRET_3="A_NAME_TOO_LONG_FOR_FW_CFG_ITSELF",
        INPUT_0="a-name-too-long-for-a-disk",
    )
    assert outcome.console.decode() == (
        "hello\nworld|run-1|test|7|s3cretother|400|\ninputinput|scratch holds 48 MiB\nto-stderr\n"
    )
    assert b"s3cret" not in outcome.result
    assert "s3cret" not in outcome.serial


def test_an_entry_cannot_pose_as_init(kit: Kit, tmp_path: Path) -> None:
    smoke = """
      echo '{"event":"exited","code":0}' >"$AGENTPLANE_EVENTS"
      for port in /dev/vport* /dev/vd* /sys/firmware/qemu_fw_cfg/by_name/opt/org.agentplane/config/raw; do
        head -c 1 "$port" >/dev/null 2>&1 && echo "read $port"
        echo x 2>/dev/null >"$port" && echo "wrote $port"
      done
      kill -9 1 2>/dev/null && echo "killed init"
      for fd in /proc/self/fd/*; do readlink "$fd"; done | grep vport
      exit 7"""
    outcome = run(kit, tmp_path, smoke)
    assert outcome.words("workload") == ['{"event":"exited","code":0}']
    assert outcome.exit_code == 7
    assert outcome.console == b""


def test_what_an_entry_leaves_running_ends_with_it(kit: Kit, tmp_path: Path) -> None:
    smoke = """
      (trap '' TERM HUP; while :; do echo x >"$AGENTPLANE_ARTIFACTS/late"; sleep 1; done) &
      (exec 9>"$AGENTPLANE_EVENTS"; sleep 1000) &
      echo kept >"$AGENTPLANE_ARTIFACTS/kept"
      kill -SEGV $$"""
    outcome = run(kit, tmp_path, smoke)
    assert outcome.exit_code == 128 + 11
    assert outcome.artifacts["kept"] == b"kept\n"
    assert outcome.events[-1]["event"] == "finished"


def test_a_full_artifact_directory_stays_bounded(kit: Kit, tmp_path: Path) -> None:
    outcome = run(kit, tmp_path, "dd if=/dev/zero of=/artifacts/big bs=1M count=64 2>/dev/null", ARTIFACTS_MIB="8")
    assert outcome.exit_code == 1
    assert len(outcome.artifacts["big"]) <= 8 << 20


@pytest.mark.parametrize(
    ("hardware", "extra", "reason"),
    [
        (Hardware(payload=False), {}, "no readable disk with serial payload"),
        (Hardware(), {"ENTRY": ""}, "names no ENTRY"),
        (Hardware(), {"ARTIFACTS_TARGETS": "/nix/store"}, "artifacts cannot lead to /nix/store"),
    ],
)
def test_a_guest_that_cannot_be_set_up_says_why(
    kit: Kit, tmp_path: Path, hardware: Hardware, extra: dict[str, str], reason: str
) -> None:
    outcome = boot(kit.bundle("noop"), tmp_path / "vm", hardware, **extra)
    assert outcome.exit_code is None
    assert any(reason in words for words in outcome.words("failed"))
    assert reason in outcome.serial


def test_an_entry_that_cannot_start_is_told_by_exit_status(kit: Kit, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", "_: { }", "#!/no/such/interpreter\n")
    outcome = boot(kit.spec(bundle, "script"), tmp_path / "vm")
    assert outcome.exit_code == 127
    assert b"smoke.sh" in outcome.console


@pytest.mark.parametrize(
    ("smoke", "codes"),
    [
        ("bomb() { while :; do bomb & done; }; bomb 2>/dev/null", range(1, 256)),
        ("x=x; while :; do x=$x$x; done", (2, 137)),
        ("dd if=/dev/zero of=/dev/shm/a bs=1M 2>/dev/null; dd if=/dev/zero of=/tmp/a bs=1M 2>/dev/null; exit 3", (3,)),
    ],
    ids=["fork-bomb", "memory-hog", "memory-file-systems"],
)
def test_a_guest_outlives_its_workload(kit: Kit, tmp_path: Path, smoke: str, codes: range | tuple[int, ...]) -> None:
    outcome = run(kit, tmp_path, smoke, Hardware(memory_mib=128))
    assert outcome.exit_code in codes
    assert outcome.events[-1]["event"] == "finished"


def test_packages_reach_the_guest(kit: Kit, tmp_path: Path) -> None:
    module = "{ pkgs, ... }: { packages = [ pkgs.python3 pkgs.bash ]; }"
    smoke = """\
#!/usr/bin/env bash
set -o pipefail
python3 - <<'E'
import ctypes, multiprocessing, sqlite3, ssl, subprocess, sys
with multiprocessing.Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
print(subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout, end="")
E
"""
    outcome = boot(kit.spec(write_bundle(tmp_path / "bundle", module, smoke), "packages"), tmp_path / "vm")
    assert (outcome.exit_code, outcome.console) == (0, b"[1, 2]\n42\n")
