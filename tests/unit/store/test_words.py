"""What the driver says of a lost server, in one line that tells something."""

import psycopg
import pytest

from agentplane.store.connection import translate


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "server closed the connection unexpectedly\n\tThis probably means the server ended\n\tbefore or while …\n",
            "PostgreSQL: server closed the connection unexpectedly",
        ),
        (
            "connection to server at port 5432 failed: Connection refused\n\tIs the server running on that host?\n",
            "PostgreSQL: connection to server at port 5432 failed: Connection refused",
        ),
        ("Multiple connection attempts failed:\n- host: a: refused\n- host: b: away", "PostgreSQL: - host: b: away"),
        ("", "PostgreSQL: OperationalError"),
    ],
)
def test_the_line_that_says_what_happened_is_told(said: str, told: str) -> None:
    error = translate(psycopg.OperationalError(said))
    assert (error.message, error.code) == (told, "store.unavailable")
