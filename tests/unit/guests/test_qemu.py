"""What QEMU is told, and what it must never be told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.errors import Refused
from agentplane.guests.config import GuestConfig, config_text
from agentplane.guests.qemu import Accelerator, Descriptors, Hardware, command, probe_command
from agentplane.guests.spec import parse_guest, parse_probe, parse_process

STORE = "/nix/store/" + "0" * 32 + "-"
GUEST: dict[str, Any] = {
    "apiVersion": "agentplane.guest/v1",
    "name": "noop",
    "kernel": STORE + "guest-kernel/kernel",
    "initrd": STORE + "guest-initrd/initrd.cpio",
    "machine": {"arch": "x86_64", "types": ["microvm", "q35"], "minMemoryMiB": 128, "tcgCmdline": "tsc_early_khz=1"},
    "cmdline": "console=ttyS0 quiet",
    "image": STORE + "payload.erofs",
    "entry": STORE + "bundle/smoke.sh",
    "environment": {"LANG": "C.UTF-8"},
    "path": ["/bin"],
    "workingDirectory": STORE + "bundle",
}


def encoded(**changes: Any) -> bytes:
    return json.dumps({**GUEST, **changes}).encode()


def argv(accelerator: Accelerator = "tcg", **changes: Any) -> list[str]:
    hardware = Hardware(
        accelerator=accelerator,
        vcpus=2,
        memory_mib=300,
        clock_base="2026-01-02T04:04:05.5+01:00",
        inputs=(("0", STORE + "input.erofs"),),
        secrets=2,
    )
    return command("/bin/qemu", parse_guest(encoded(**changes)), hardware, Descriptors())


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def test_the_machine_is_sealed() -> None:
    said = argv()
    assert {"-nodefaults", "-no-user-config", "-no-reboot", "-nographic"} <= set(said)
    assert value(said, "-sandbox") == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    assert not any("net" in word for word in said if word.startswith("-") or "virtio" in word)
    assert value(said, "-rtc") == "base=2026-01-02T03:04:05"
    assert (value(said, "-m"), value(said, "-smp")) == ("300M", "2")


def test_only_scratch_can_be_written() -> None:
    drives = [word for option, word in zip(argv(), argv()[1:], strict=False) if option == "-drive"]
    assert [("readonly=on" in drive, drive.split(",")[0]) for drive in drives] == [
        (True, "id=payload"),
        (True, "id=in-0"),
        (False, "id=scratch"),
    ]


def test_the_calibration_hint_is_for_emulation_only() -> None:
    assert value(argv("tcg"), "-append").endswith(" tsc_early_khz=1")
    assert "tsc_early_khz" not in " ".join(argv("kvm"))


def test_microvm_and_q35_get_their_own_buses() -> None:
    assert "virtio-serial-device" in argv()
    q35 = argv(machine={**GUEST["machine"], "types": ["q35"]})
    assert value(q35, "-M") == "q35"
    assert not any(word.endswith("-device") and word.startswith("virtio") for word in q35)


def test_secrets_and_configuration_come_by_descriptor() -> None:
    said = [word for word in argv() if word.startswith("name=opt/")]
    assert said == [
        "name=opt/org.agentplane/config,file=/proc/self/fd/16",
        "name=opt/org.agentplane/secrets/0,file=/proc/self/fd/20",
        "name=opt/org.agentplane/secrets/1,file=/proc/self/fd/21",
    ]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kernel": "/etc/passwd"}, "kernel"),
        ({"initrd": STORE + "x/../../../etc/passwd"}, "initrd"),
        ({"image": STORE + "a,readonly=off"}, "image"),
        ({"entry": "smoke.sh"}, "entry"),
        ({"cmdline": "quiet\ninit=/bin/sh"}, "control character"),
        ({"path": ["bin"]}, "absolute"),
        ({"path": ["/a:/b"]}, "absolute"),
        ({"environment": {"A B": "c"}}, "environment"),
        ({"environment": {"A": 1}}, "environment"),
        ({"apiVersion": "agentplane.guest/v2"}, "apiVersion"),
        ({"surprise": 1}, "surprise"),
        ({"machine": {**GUEST["machine"], "types": []}}, "machine.types"),
        ({"machine": {**GUEST["machine"], "arch": "riscv64"}}, "arch"),
    ],
)
def test_unusable_specs_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(Refused, match=word) as refusal:
        parse_guest(encoded(**changes))
    assert refusal.value.code == "guest.spec"


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_other_bytes_are_refused(data: bytes) -> None:
    for parse in (parse_guest, parse_probe, parse_process):
        with pytest.raises(Refused):
            parse(data)


def test_a_probe_says_its_sentinel_on_standard_output() -> None:
    document = {key: GUEST[key] for key in ("apiVersion", "name", "kernel", "initrd", "machine", "cmdline")}
    probe = parse_probe(json.dumps({**document, "sentinel": "here"}).encode())
    said = probe_command("/bin/qemu", probe, "kvm")
    assert value(said, "-serial") == "stdio"
    assert value(said, "-accel") == "kvm"


def config(**changes: Any) -> GuestConfig:
    values: dict[str, Any] = {
        "entry": "/e",
        "directory": "/d",
        "path": ["/a", "/b"],
        "environment": {"Z": "line\nline=2", "A": ""},
        "run": "r-1",
        "tenant": "t",
        "seed": "7",
        "attempt": 1,
        "lane": "dev",
        "artifact_targets": ["/out", "/results"],
        "artifacts_mib": 1,
        "disk_mib": 2,
        "memory_mib": 3,
        "vcpus": 4,
        "secrets": ["TOKEN"],
        "inputs": ["tree"],
    }
    return GuestConfig(**{**values, **changes})


def test_the_configuration_is_lines() -> None:
    lines = dict(line.split("=", 1) for line in config_text(config()).splitlines())
    assert lines["PATH"] == "/a:/b"
    assert lines["ARTIFACTS_TARGETS"] == "/out:/results"
    assert (lines["SECRET_0"], lines["INPUT_0"], lines["ACK"]) == ("TOKEN", "tree", "1")
    assert (lines["ENV_Z"], lines["ENV_A"]) == ("bGluZQpsaW5lPTI=", "")


@pytest.mark.parametrize(
    "changes", [{"seed": "1\nENTRY=/bin/sh"}, {"artifact_targets": ["/a:/b"]}, {"secrets": ["A\nB"]}, {"run": "\x7f"}]
)
def test_no_value_can_add_a_line(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        config_text(config(**changes))
