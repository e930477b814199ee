"""`agentplane-bus --users FILE --settings FILE`: nats-server's configuration, on stdout. Opens no connection.

Runs when a system is built (modules/bus.nix): a wrong key or name fails that build. JSON is a dialect that
nats-server reads.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentplane.bus import accounts
from agentplane.bus.users import BusUsers
from agentplane.daemon.config import load_document, load_settings
from agentplane.errors import AgentplaneError, Refused


def main(argv: Sequence[str] | None = None) -> int:
    """Print the configuration; the exit status is that of agentplane.errors."""
    parser = argparse.ArgumentParser(prog="agentplane-bus")
    parser.add_argument("--users", type=Path, required=True, help="JSON: control, projector, executors, people")
    parser.add_argument("--settings", type=Path, required=True, help="JSON: nats-server's own settings")
    options = parser.parse_args(argv)
    try:
        users = load_settings(options.users, BusUsers)
        document = merged(load_document(options.settings), users, origin=str(options.settings))
    except AgentplaneError as error:
        print(f"agentplane-bus: {error.code}: {error}", file=sys.stderr)  # noqa: T201 - people read stderr
        return error.exit_status
    print(json.dumps(document, indent=2, sort_keys=True))  # noqa: T201 - the product
    return 0


def merged(settings: object, users: BusUsers, *, origin: str) -> dict[str, Any]:
    """Settings with the users in them; users that the settings name themselves stay beside ours.

    Raises:
        Refused: `bus.settings` (not an object, accounts of their own beside users), as `accounts.checked`.
    """
    if not isinstance(settings, dict):
        raise Refused("not an object", code="bus.settings", where=origin)
    ours = [accounts.as_document(user) for user in accounts.checked(users.users())]
    if ours and "accounts" in settings:
        hint = "either users by role, or accounts with all their users"
        raise Refused(
            "has accounts of its own, and users were named as well", code="bus.settings", where=origin, hint=hint
        )
    authorization: Mapping[str, Any] = settings.get("authorization", {})
    if not ours:
        return settings
    everybody = {**authorization, "users": [*authorization.get("users", []), *ours]}
    if (callout := users.callout()) is None:
        return {**settings, "authorization": everybody}
    asked = accounts.callout_document(callout, users.users())
    by_hand = [user["nkey"] for user in authorization.get("users", []) if "nkey" in user]
    everybody["auth_callout"] = {**asked, "auth_users": [*asked["auth_users"], *by_hand]}
    return {**settings, "authorization": everybody, **accounts.system_document(callout.watcher)}


if __name__ == "__main__":
    sys.exit(main())
