"""`agentplane-executor --config FILE [--check-config | --init]`."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from agentplane.daemon.config import load_settings
from agentplane.daemon.main import serve
from agentplane.errors import AgentplaneError
from services.executor.config import ExecutorSettings

_NAME = "agentplane-executor"


def main() -> int:
    """Run the executor; the exit status is that of agentplane.errors."""
    if "--init" in sys.argv[1:]:
        return _init([argument for argument in sys.argv[1:] if argument != "--init"])
    from services.executor.app import run  # noqa: PLC0415 - --check-config needs none of it

    again = asyncio.Event()
    status = serve(_NAME, ExecutorSettings, partial(run, again=again))
    if again.is_set():  # in our own place, under our own process id: guests and service manager notice nothing
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves
    return status


def _init(arguments: list[str]) -> int:
    """Make this host's keys unless it has them, and say what an operator compares."""
    from services.executor.identity import load_identity  # noqa: PLC0415 - as above
    from services.executor.statedir import open_state  # noqa: PLC0415

    if len(arguments) != 2 or arguments[0] != "--config":  # noqa: PLR2004 - the option and its value
        print(f"usage: {_NAME} --config FILE --init", file=sys.stderr)  # noqa: T201 - the answer
        return 2
    try:
        settings = load_settings(Path(arguments[1]), ExecutorSettings)
        state = open_state(settings.state_dir)
        try:
            identity = load_identity(settings)
        finally:
            state.close()
    except AgentplaneError as error:
        print(f"{_NAME}: {error.code}: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    print(f"name         {identity.name}\nfingerprint  {identity.fingerprint}\nbus key      {identity.keys.nkey}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
