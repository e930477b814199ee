"""The entry point of every daemon: `<daemon> --config FILE [--check-config]`.

Exit statuses: 0 stopped when asked, 2 bad configuration, otherwise as agentplane.errors says.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from agentplane import __version__
from agentplane.daemon.config import SettingsT, load_settings
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import configure, get_logger
from agentplane.errors import AgentplaneError

App = Callable[[SettingsT, Lifecycle], Awaitable[None]]


def serve(name: str, model: type[SettingsT], app: App[SettingsT], argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, check the configuration, run `app` until it is told to stop. Returns the exit status."""
    options = _parser(name).parse_args(argv)
    try:
        settings = load_settings(options.config, model)
        if options.check_config:
            print(f"{name}: {options.config} is valid", file=sys.stderr)  # noqa: T201 - the answer to --check-config
            return 0
        configure(name, options.log_level)
        return asyncio.run(_run(settings, app))
    except AgentplaneError as error:
        _complain(name, error)
        return error.exit_status


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--config", type=Path, required=True, help="the JSON configuration file")
    parser.add_argument("--check-config", action="store_true", help="only check it; names every wrong field")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


async def _run(settings: SettingsT, app: App[SettingsT]) -> int:
    lifecycle = Lifecycle()
    lifecycle.listen()
    try:
        await app(settings, lifecycle)
    finally:
        await lifecycle.close()
    if isinstance(lifecycle.failure, AgentplaneError):
        raise lifecycle.failure
    get_logger().info("stopped", failed=lifecycle.failure is not None)
    return 0 if lifecycle.failure is None else AgentplaneError.exit_status


def _complain(name: str, error: AgentplaneError) -> None:
    print(f"{name}: {error.code}: {error}", file=sys.stderr)  # noqa: T201 - people read stderr
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)  # noqa: T201
