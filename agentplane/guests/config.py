"""The per-run configuration that a guest reads from fw_cfg: KEY=VALUE lines, arbitrary values in base64. Pure.

The reader is vm/guest/init/lib/agentplane/config.sh; the keys are described in vm/README.md.
"""

import base64
from collections.abc import Mapping, Sequence

import msgspec

from agentplane.errors import Refused


class GuestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest is told about its run. Secrets have no place here, only their names."""

    entry: str
    directory: str
    path: Sequence[str]
    environment: Mapping[str, str]
    run: str
    tenant: str
    seed: str
    attempt: int
    lane: str
    artifact_targets: Sequence[str]
    artifacts_mib: int
    disk_mib: int
    memory_mib: int
    vcpus: int
    secrets: Sequence[str]  # names; fw_cfg secrets/<index>
    inputs: Sequence[str]  # names; virtio disks in-<index>


def config_text(config: GuestConfig) -> str:
    """The text of fw_cfg `opt/org.agentplane/config`.

    Raises:
        Refused: code `guest.config`, a value that would end its line or split a list.
    """
    lines = [f"{key}={_one_line(key, value)}" for key, value in _plain(config)]
    lines += [f"SECRET_{index}={_one_line('secret', name)}" for index, name in enumerate(config.secrets)]
    lines += [f"INPUT_{index}={_one_line('input', name)}" for index, name in enumerate(config.inputs)]
    for name, value in sorted(config.environment.items()):
        lines.append(f"ENV_{_one_line('environment', name)}={base64.b64encode(value.encode()).decode()}")
    return "\n".join(lines) + "\n"


def _plain(config: GuestConfig) -> list[tuple[str, str]]:
    return [
        ("ENTRY", config.entry),
        ("DIRECTORY", config.directory),
        ("PATH", _colon_list("PATH", config.path)),
        ("ARTIFACTS_TARGETS", _colon_list("ARTIFACTS_TARGETS", config.artifact_targets)),
        ("ARTIFACTS_MIB", str(config.artifacts_mib)),
        ("DISK_MIB", str(config.disk_mib)),
        ("MEMORY_MIB", str(config.memory_mib)),
        ("VCPU", str(config.vcpus)),
        ("RUN_ID", config.run),
        ("TENANT", config.tenant),
        ("SEED", config.seed),
        ("ATTEMPT", str(config.attempt)),
        ("LANE", config.lane),
        ("ACK", "1"),
    ]


def _colon_list(key: str, items: Sequence[str]) -> str:
    for item in items:
        if ":" in item:
            raise Refused(f"{key} entry {item!r} holds a colon", code="guest.config")
    return ":".join(items)


def _one_line(key: str, value: str) -> str:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):  # noqa: PLR2004 - C0 and DEL
        raise Refused(f"{key} is {value!r}, which holds a control character", code="guest.config")
    return value
