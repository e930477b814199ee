"""A program that upgrades the read model `runs` and is killed at a given moment: `python -m … CONNINFO`.

Reads lines `VERSION MOMENT`, forks a program for each, and answers with its exit status: 0 all done, 9 killed before
its MOMENT-th round trip to the database. MOMENT 0: never.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import psycopg
import structlog

from agentplane.projections.engine import RUNS
from agentplane.store.views import ViewStore

BATCH = 30


def die_at(moment: int) -> None:
    """Count round trips; before the one of this number there is nothing left of us."""
    wait = psycopg.AsyncConnection.wait
    seen = 0

    async def counted(self: Any, gen: Any, interval: float = 0.1) -> Any:
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return await wait(self, gen, interval)

    psycopg.AsyncConnection.wait = counted  # type: ignore[method-assign, assignment]


async def upgrade(conninfo: str, version: int) -> None:
    views = ViewStore(conninfo, [RUNS._replace(version=version)], batch=BATCH, grace_s=0)
    await views.prepare()
    while await views.tend():
        continue
    await views.catch_up()
    await views.close()


def run(conninfo: str, version: int, moment: int) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            die_at(moment)
            asyncio.run(upgrade(conninfo, version))
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        given_version, given_moment = map(int, line.split())
        sys.stdout.write(f"{run(sys.argv[1], given_version, given_moment)}\n")
        sys.stdout.flush()
