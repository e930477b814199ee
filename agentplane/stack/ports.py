"""Free loopback ports, chosen once and kept, so that clients find a restarted server where it was."""

import json
import socket
from pathlib import Path

from agentplane.errors import Broken

NAMES = ("postgres", "nats", "monitor")
METRICS = ("control-metrics", "projector-metrics", "executor-metrics")  # chosen later for a stack of an older version


def load_ports(path: Path) -> dict[str, int] | None:
    """The stack's ports; None before the first `stack up`. Raises Broken (`stack.ports`): the file is damaged."""
    try:
        ports = json.loads(path.read_text())
        return {name: int(ports[name]) for name in (*NAMES, *(name for name in METRICS if name in ports))}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as exc:
        raise Broken(f"damaged: {exc}", code="stack.ports", where=str(path), hint=f"rm {path}") from exc


def load_or_choose(path: Path) -> dict[str, int]:
    """The stack's ports, chosen and written at the first call. Raises as `load_ports`."""
    known = load_ports(path) or {}
    missing = [name for name in (*NAMES, *METRICS) if name not in known]
    if not missing:
        return known
    ports = {**known, **dict(zip(missing, _free(len(missing)), strict=True))}
    path.write_text(json.dumps(ports))
    return ports


def require_free(ports: dict[str, int]) -> None:
    """Raises Broken (`stack.port-taken`) naming a port that somebody else listens on."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as exc:
                raise Broken(
                    f"port {port} ({name}) is taken by another program",
                    code="stack.port-taken",
                    hint=f"see `ss -ltnp 'sport = :{port}'`; for new ports remove ports.json from the state directory",
                ) from exc


def _free(count: int) -> list[int]:
    # held open together, so that the same port is not given twice
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
