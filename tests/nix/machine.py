"""Starts a guest with a plain QEMU command line and listens to its ports. The runner's own code is not used here."""

import base64
import io
import json
import socket
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PORTS = ("events", "console", "result")
BOOT_DEADLINE_S = 120


@dataclass(frozen=True)
class Hardware:
    """What the host attaches to a guest."""

    machine: str = "microvm"
    memory_mib: int = 256
    vcpus: int = 1
    disks: Mapping[str, Path] = field(default_factory=dict)  # virtio serial -> image; `scratch` is writable
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    payload: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a guest left."""

    events: list[dict[str, Any]]
    console: bytes
    result: bytes
    serial: str

    @property
    def exit_code(self) -> int | None:
        """The entry's, None when the guest told none."""
        return next((event["code"] for event in self.events if event["event"] == "exited"), None)

    @property
    def artifacts(self) -> dict[str, bytes]:
        """Regular files of the result by their path."""
        with tarfile.open(fileobj=io.BytesIO(self.result)) as tar:
            files = [(member.name, tar.extractfile(member)) for member in tar]
            return {name.removeprefix("./"): file.read() for name, file in files if file is not None}

    def words(self, event: str) -> list[str]:
        """The decoded data of all events of a kind."""
        return [base64.b64decode(found["data"]).decode() for found in self.events if found["event"] == event]


def configuration(spec: Mapping[str, Any], hardware: Hardware, extra: Mapping[str, str]) -> str:
    """The text of the fw_cfg file."""
    values = {
        "ENTRY": spec.get("entry", ""),
        "DIRECTORY": spec.get("workingDirectory", ""),
        "PATH": ":".join(spec.get("path", [])),
        "RUN_ID": "run-1",
        "TENANT": "test",
        "SEED": "7",
        "MEMORY_MIB": str(hardware.memory_mib),
        "VCPU": str(hardware.vcpus),
        "ARTIFACTS_TARGETS": "/mnt/artifacts",
        "ACK": "1",
    }
    encoded = {f"ENV_{name}": base64.b64encode(text.encode()).decode() for name, text in spec["environment"].items()}
    return "".join(f"{key}={value}\n" for key, value in {**values, **encoded, **extra}.items())


def boot(spec: Mapping[str, Any], directory: Path, hardware: Hardware | None = None, **extra: str) -> Outcome:
    """Run a guest to its end. Raises subprocess.TimeoutExpired: it has none."""
    hardware = hardware or Hardware()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config").write_text(configuration(spec, hardware, extra))
    listeners = {port: _Listener(directory / port, answers=port == "events") for port in PORTS}
    process = subprocess.Popen(_argv(spec, directory, hardware), stdin=subprocess.DEVNULL)
    try:
        threads = [threading.Thread(target=listener.listen, daemon=True) for listener in listeners.values()]
        for thread in threads:
            thread.start()
        process.wait(BOOT_DEADLINE_S)
        for thread in threads:
            thread.join(BOOT_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
        for listener in listeners.values():
            listener.close()
    events = [json.loads(line) for line in bytes(listeners["events"].data).splitlines()]
    console, result = (bytes(listeners[port].data) for port in ("console", "result"))
    return Outcome(events, console, result, (directory / "serial").read_text(errors="replace"))


class _Listener:
    """One port's reader; answers the guest's last event, as ACK=1 asks."""

    def __init__(self, path: Path, *, answers: bool) -> None:
        self.answers = answers
        self.data = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(1)

    def listen(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            while chunk := connection.recv(65536):
                self.data += chunk
                if self.answers and self.data.rpartition(b"\n{")[2].startswith(b'"event":"finished"'):
                    connection.send(b"ok\n")

    def close(self) -> None:
        self._socket.close()


def _argv(spec: Mapping[str, Any], directory: Path, hardware: Hardware) -> list[str]:
    bus = "device" if hardware.machine == "microvm" else "pci"
    cmdline = f"{spec['cmdline']} {spec['machine']['tcgCmdline']}"
    argv = [
        *("qemu-system-x86_64", "-M", hardware.machine, "-accel", "tcg", "-cpu", "qemu64"),
        *("-m", str(hardware.memory_mib), "-smp", str(hardware.vcpus)),
        *("-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", f"file:{directory / 'serial'}"),
        *("-kernel", spec["kernel"], "-initrd", spec["initrd"], "-append", cmdline),
        *("-fw_cfg", f"name=opt/org.agentplane/config,file={directory / 'config'}"),
        *("-device", f"virtio-serial-{bus}"),
    ]
    for port in PORTS:
        argv += ["-chardev", f"socket,id={port},path={directory / port}"]
        argv += ["-device", f"virtserialport,chardev={port},name=org.agentplane.{port}"]
    for name, secret in hardware.secrets.items():
        (directory / f"secret-{name}").write_bytes(secret)
        argv += ["-fw_cfg", f"name=opt/org.agentplane/secrets/{name},file={directory / f'secret-{name}'}"]
    return argv + _disks(spec, hardware, bus)


def _disks(spec: Mapping[str, Any], hardware: Hardware, bus: str) -> list[str]:
    disks = {**({"payload": spec["image"]} if hardware.payload and "image" in spec else {}), **hardware.disks}
    argv = []
    for serial, image in disks.items():
        readonly = "off" if serial == "scratch" else "on"
        argv += ["-drive", f"id={serial},file={image},format=raw,if=none,readonly={readonly}"]
        argv += ["-device", f"virtio-blk-{bus},drive={serial},serial={serial}"]
    return argv
