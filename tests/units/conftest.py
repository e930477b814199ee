"""What the suites of the units share."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The marker of what needs a whole host of its own."""
    config.addinivalue_line("markers", "testbed: boots a Debian host with the units (AGENTPLANE_TESTBED=1)")
