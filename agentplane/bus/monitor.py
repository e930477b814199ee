"""What nats-server's monitoring endpoint says about its store. Loopback only; reads, and restarts nothing.

nats-server (seen: 2.15) does not write again to a stream whose write failed, as on a full disk, until it is restarted;
`/healthz` answers 503 with the words `write error` from then on.
"""

import json
import urllib.request
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError

HOST_URL: Final = "http://127.0.0.1:8222"  # where a host's server answers, as we configure it
_TIMEOUT_S: Final = 5
_MAX_BYTES: Final = 64 << 10
_MARK: Final = "write error"


def answers(url: str) -> bool:
    """Whether there is a monitoring endpoint at this address."""
    try:
        with urllib.request.urlopen(f"{url}/varz", timeout=_TIMEOUT_S):  # noqa: S310 - loopback, our own
            return True
    except (OSError, HTTPException, ValueError):
        return False


def write_error(url: str) -> str | None:
    """Why the server at this monitoring address writes no more, in its words; None: it writes, or does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_TIMEOUT_S):  # noqa: S310 - loopback, our own
            return None
    except HTTPError as answer:
        with answer:
            said = answer.read(_MAX_BYTES)
    except (OSError, HTTPException, ValueError):
        return None
    try:
        document = json.loads(said)
    except ValueError:
        return None
    words = str(document.get("error", "")) if isinstance(document, dict) else ""
    return words if _MARK in words else None
