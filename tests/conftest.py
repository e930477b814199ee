"""Fixtures that several suites share; each starts its server only when a test asks for it."""

from tests.postgres import database, postgres_cluster

__all__ = ["database", "postgres_cluster"]
