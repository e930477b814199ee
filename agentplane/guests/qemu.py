"""The command line of QEMU for one run. Pure: store paths and descriptor numbers in, an argv list out.

Nothing arbitrary reaches argv: configuration and secrets go through descriptors (/proc/self/fd/N), artifacts
and streams through inherited sockets. There is no network device, so there is no network.
Numbers and pitfalls: microvm under TCG stalls at timer calibration without `tsc_early_khz` and never with it;
without RDRAND the first reader of randomness in the guest spins for a second until the kernel has gathered some;
QEMU answers `-sandbox` with a seccomp filter that forbids spawning and privilege changes.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Final, Literal

import msgspec

from agentplane.clock import parse_rfc3339
from agentplane.guests.spec import GuestSpec, Machine, ProbeSpec

Accelerator = Literal["tcg", "kvm"]

# TCG's translation cache is 1 GiB by default, virtual until used; bounded, the memory limit can be honest.
TCG_CACHE_MIB: Final = 128
SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Descriptors(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers under which QEMU inherits its files; the shim puts them there."""

    console: int = 10
    events: int = 11
    result: int = 12
    serial: int = 13
    monitor: int = 14
    scratch: int = 15
    config: int = 16
    first_secret: int = 20


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine of one run is made of."""

    accelerator: Accelerator
    vcpus: int
    memory_mib: int
    clock_base: str  # RFC 3339
    inputs: Sequence[tuple[str, str]] = ()  # (name, erofs image)
    scratch: bool = True
    secrets: int = 0  # how many


def command(qemu: str, spec: GuestSpec, hardware: Hardware, fds: Descriptors) -> list[str]:
    """The argv that boots `spec`; `qemu` is the program."""
    machine = machine_type(spec.machine)
    bus = "device" if machine == "microvm" else "pci"
    argv = [*_base(qemu, machine, spec, hardware), *_serial(fds)]
    argv += _disk("payload", spec.image, bus)
    for name, image in hardware.inputs:
        argv += _disk(f"in-{name}", image, bus)
    if hardware.scratch:
        argv += _scratch(fds.scratch, bus)
    return argv + _ports(fds, bus) + _fw_cfg(fds, hardware.secrets)


def probe_command(qemu: str, spec: ProbeSpec, accelerator: Accelerator) -> list[str]:
    """The argv that boots the probe; its serial console is standard output."""
    hardware = Hardware(
        accelerator=accelerator,
        vcpus=1,
        memory_mib=spec.machine.min_memory_mib,
        clock_base="2026-01-01T00:00:00Z",
    )
    return [*_base(qemu, machine_type(spec.machine), spec, hardware), "-serial", "stdio"]


def machine_type(machine: Machine) -> str:
    """Microvm where the guest can be one: 0 stalls in 99 boots with its calibration hint, and the smaller machine."""
    return "microvm" if "microvm" in machine.types else machine.types[0]


def _base(qemu: str, machine: str, spec: GuestSpec | ProbeSpec, hardware: Hardware) -> list[str]:
    tcg = hardware.accelerator == "tcg"
    cmdline = f"{spec.cmdline} {spec.machine.tcg_cmdline}" if tcg else spec.cmdline
    return [
        *(qemu, "-M", machine),
        *(("-accel", f"tcg,thread=multi,tb-size={TCG_CACHE_MIB}") if tcg else ("-accel", "kvm")),
        *("-cpu", "qemu64,+rdrand" if tcg else "host"),
        *("-smp", str(hardware.vcpus), "-m", f"{hardware.memory_mib}M"),
        *("-nodefaults", "-no-user-config", "-nographic", "-no-reboot"),
        *("-sandbox", SANDBOX),
        *("-rtc", f"base={_rtc_base(hardware.clock_base)}"),
        *("-kernel", spec.kernel, "-initrd", spec.initrd, "-append", cmdline),
    ]


def _rtc_base(clock_base: str) -> str:
    return parse_rfc3339(clock_base).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _serial(fds: Descriptors) -> list[str]:
    return [
        *("-chardev", f"socket,id=serial,fd={fds.serial}", "-serial", "chardev:serial"),
        *("-chardev", f"socket,id=monitor,fd={fds.monitor}", "-mon", "chardev=monitor,mode=control"),
    ]


def _disk(serial: str, image: str, bus: str) -> list[str]:
    return [
        *("-drive", f"id={serial},file={image},format=raw,if=none,readonly=on,file.locking=off"),
        *("-device", f"virtio-blk-{bus},drive={serial},serial={serial}"),
    ]


def _scratch(fd: int, bus: str) -> list[str]:
    # report: when the host's disk is full the guest gets an I/O error; QEMU would pause it for ever.
    return [
        *("-drive", f"id=scratch,file=/proc/self/fd/{fd},format=raw,if=none,cache=unsafe,file.locking=off"),
        *("-device", f"virtio-blk-{bus},drive=scratch,serial=scratch,werror=report,rerror=report"),
    ]


def _ports(fds: Descriptors, bus: str) -> list[str]:
    argv = ["-device", f"virtio-serial-{bus}"]
    for name, fd in (("console", fds.console), ("events", fds.events), ("result", fds.result)):
        argv += ["-chardev", f"socket,id={name},fd={fd}"]
        argv += ["-device", f"virtserialport,chardev={name},name=org.agentplane.{name}"]
    return argv


def _fw_cfg(fds: Descriptors, secrets: int) -> list[str]:
    argv = ["-fw_cfg", f"name=opt/org.agentplane/config,file=/proc/self/fd/{fds.config}"]
    for index in range(secrets):
        argv += ["-fw_cfg", f"name=opt/org.agentplane/secrets/{index},file=/proc/self/fd/{fds.first_secret + index}"]
    return argv
