"""The log is append-only for everybody, and every view follows from it."""

import json

import psycopg
import pytest

from agentplane.stack.ports import load_ports
from agentplane.store import roles
from tests.stack.plane import Plane

pytestmark = pytest.mark.stack

CHANGES = (
    "UPDATE log.events SET actor = 'somebody else'",
    "DELETE FROM log.events",
    "TRUNCATE log.events",
    "TRUNCATE log.events CASCADE",
)


@pytest.mark.parametrize("role", [*roles.ROLES, "postgres"])
def test_nobody_changes_what_happened(plane: Plane, role: str) -> None:
    layout, ports = plane.layout, load_ports(plane.layout.ports)
    assert ports is not None
    conninfo = plane.conninfo(role)
    if role == "postgres":  # the bootstrap role comes over the socket only
        conninfo = conninfo.replace("host=127.0.0.1", f"host={layout.postgres / 'socket'}")
    counted = "SELECT count(*), max(sequence) FROM log.events"
    owner = psycopg.connect(plane.conninfo(roles.OWNER), autocommit=True)
    with psycopg.connect(conninfo, autocommit=True) as connection, owner as everything:
        before = everything.execute(counted).fetchone()
        connection.execute("SET default_transaction_read_only = off")
        for change in CHANGES:
            with pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)):
                connection.execute(change.encode())
        after = everything.execute(counted).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] >= before[0] > 0
    assert after[0] == after[1]  # no gap


def test_views_built_again_are_equal(plane: Plane) -> None:
    rebuilt = json.loads(plane.call("projections", "rebuild", "-o", "json").stdout)
    assert rebuilt
    assert all(each["equal"] for each in rebuilt)
    plane.call("projections", "status")
