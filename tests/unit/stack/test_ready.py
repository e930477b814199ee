"""Waiting for servers that are there but do not answer yet."""

import socket

import pytest

from agentplane.errors import Broken, Transient
from agentplane.stack.ports import require_free
from agentplane.stack.ready import patiently, wait_until_free


class Recovering:
    """Fails some times before it succeeds."""

    def __init__(self, error: Exception, failures: int) -> None:
        self.error = error
        self.failures = failures
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error


def test_a_server_that_recovers_is_waited_for() -> None:
    attempt = Recovering(Transient("the database system is starting up", code="store.unavailable"), 2)
    patiently(attempt)
    assert attempt.calls == 3


def test_patience_ends_with_the_last_reason() -> None:
    attempt = Recovering(Transient("the database system is starting up", code="store.unavailable"), 1000)
    with pytest.raises(Transient, match="starting up"):
        patiently(attempt, timeout_s=0.1)


def test_what_waiting_does_not_repair_is_said_at_once() -> None:
    attempt = Recovering(Broken("another schema", code="store.schema"), 1)
    with pytest.raises(Broken):
        patiently(attempt)
    assert attempt.calls == 1


def test_ports_are_waited_for_no_longer_than_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wait_until_free({"nats": port}, timeout_s=0.1)
        with pytest.raises(Broken, match=f"port {port} .nats. is taken"):
            require_free({"nats": port})
    wait_until_free({"nats": port})
    require_free({"nats": port})
