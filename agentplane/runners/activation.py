"""Has systemd start the shims: one connection to agentplane-guest.socket, one instance of its unit, one guest.

For an executor without privileges (docs/adr/0010). What goes over the connection is in runners.shim.contract: the
launch directory as a descriptor, the secrets, and the answer. The guest has a user of its own, which nobody knows
beforehand, and the group of this process: by that each reaches the other's files in the launch directory, in which
nothing is anybody else's. Without a socket, shims are started by runners.launch, as our own children.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agentplane.errors import Broken, Transient
from agentplane.runners import launch as launches
from agentplane.runners.launch import ANSWER_TIMEOUT_S, ShimHandle
from agentplane.runners.plan import Plan
from agentplane.runners.shim import contract
from agentplane.runners.shim.contract import Launch
from agentplane.runners.shim.state import write_json
from agentplane.runners.spare import Spare

_RETRY_S: Final = 5.0
_SHARED_DIRECTORY: Final = 0o770
_SHARED_FILE: Final = 0o660


def launch(
    plan: Plan, what: Launch, secrets: Sequence[bytes], unit: Path | None, spare: Spare | None = None
) -> ShimHandle:
    """Start a plan's shim, through the socket `unit` or (None) as a child; returns when its program runs.

    Raises:
        Conflict: as `runners.launch.prepare`.
        Broken: code `runner.launch`.
        Transient: code `runner.socket`: nothing was prepared, the same call may succeed.
    """
    if unit is None:
        return launches.start(launches.prepare(plan), what, secrets, spare)
    with connection(unit) as link:
        return hand_over(link, launches.prepare(plan), what, secrets)


@contextmanager
def connection(unit: Path) -> Iterator[socket.socket]:
    """A connection, and with it an instance of the unit behind. Raises Transient: code `runner.socket`."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(ANSWER_TIMEOUT_S)
        try:
            link.connect(str(unit))
        except OSError as exc:
            raise Transient(
                f"systemd cannot be asked for a guest here: {exc.strerror or exc}",
                code="runner.socket",
                where=str(unit),
                delay_s=_RETRY_S,
                hint=f"systemctl start agentplane-{unit.stem}.socket; or leave `guests` out of the executor's "
                "configuration, where it may start guests itself",
            ) from exc
        yield link


def hand_over(link: socket.socket, directory: Path, what: Launch, secrets: Sequence[bytes]) -> ShimHandle:
    """Give a new, empty launch directory to the instance behind `link`. Raises Broken: code `runner.launch`."""
    _share(directory, what)
    try:
        _tell(link, directory, secrets)
        with link.makefile("rb") as answers:
            answer = launches.parse_answer(answers.readline(1 << 16))
    except TimeoutError:
        launches.order_end(directory, "its launcher has given up on it")
        answer = {"error": f"the guest's unit said nothing within {ANSWER_TIMEOUT_S:g} s"}
    except OSError as exc:
        answer = {"error": f"the guest's unit went away: {exc.strerror}"}
    if answer != {}:
        said = str(answer["error"]) if answer else launches.words_of(directory)
        raise Broken(
            said or "the guest's unit ended without a word",
            code="runner.launch",
            where=str(directory),
            hint="journalctl -u 'agentplane-guest@*' -u 'agentplane-process@*'",
        )
    return launches.handle_of(directory)


def _share(directory: Path, what: Launch) -> None:
    """What the shim has to find, open to its group: `umask` must not have a say in it."""
    directory.chmod(_SHARED_DIRECTORY)
    write_json(str(directory), contract.LAUNCH, {**what})
    (directory / contract.LOCK).touch()
    os.mkfifo(directory / contract.ORDERS)
    for name in (contract.LAUNCH, contract.LOCK, contract.ORDERS):
        (directory / name).chmod(_SHARED_FILE)


def _tell(link: socket.socket, directory: Path, secrets: Sequence[bytes]) -> None:
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with (directory / contract.SHIM_LOG).open("wb") as log:
            socket.send_fds(link, [contract.GREETING], [held, log.fileno()])
    finally:
        os.close(held)
    for value in secrets:
        link.sendall(len(value).to_bytes(4, "big") + value)
