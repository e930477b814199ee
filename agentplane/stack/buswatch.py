"""Restarts a stack's nats-server that has stopped to write, as after a full disk, once its disk has room again.

A process of its own under supervisord, which starts nats-server again. Nothing is lost by a restart: who waits for an
acknowledgement sends again. There is no event for room on a disk, nor for a server's state: both are looked at.
"""

import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from agentplane.bus.monitor import write_error
from agentplane.errors import AgentplaneError
from agentplane.stack import supervision
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports

LOOK_S: Final = 5.0
ROOM_BYTES: Final = 16 << 20


def look(layout: Layout) -> bool:
    """Restart the server if that helps; whether it was."""
    ports = load_ports(layout.ports)
    if ports is None or (words := write_error(f"http://127.0.0.1:{ports['monitor']}")) is None:
        return False
    if shutil.disk_usage(layout.nats).free < ROOM_BYTES:
        return False
    found = [each.pid for each in supervision.processes(layout) if each.name == "nats" and each.state == "RUNNING"]
    for pid in found:
        sys.stderr.write(f"there is room again, restarting nats-server: {words}\n")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return bool(found)


def main() -> None:
    """Look until told to stop."""
    layout, stopping = Layout(Path(sys.argv[1])), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    while not stopping.wait(LOOK_S):
        with suppress(AgentplaneError, OSError):  # supervisord starts or ends: the next look tells
            look(layout)


if __name__ == "__main__":
    main()
