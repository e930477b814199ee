"""A history that every read model has rows of, and all those rows."""

import psycopg
from psycopg import sql

from agentplane.runs.states import Outcome
from agentplane.store.roles import PROJECT
from tests.postgres import Database
from tests.unit.projections.histories import Log


def history() -> Log:
    log = Log()
    log.executor("exec-1")
    for number, outcome in enumerate((Outcome.EXITED, Outcome.TIMEOUT, None, Outcome.CANCELLED)):
        log.run(f"run-{number}", outcome=outcome)
        log.run(f"run-{number}", tenant="rival", outcome=outcome)
    return log


def tables(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every read model, in key order."""
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        found = {}
        orders = {
            "runs": "tenant, name",
            "executors": "name",
            "evidence": "tenant, run, place",
            "resources": "tenant, kind, namespace, name",
            "streams": "tenant, kind, namespace, name",
        }
        for name, order in orders.items():
            query = sql.SQL("SELECT * FROM views.{} ORDER BY {}").format(sql.Identifier(name), sql.SQL(order))
            found[name] = connection.execute(query).fetchall()
        return found
