"""What the projector needs to know."""

from typing import Annotated

from pydantic import Field

from agentplane.daemon.config import DaemonSettings, NatsSettings, PostgresSettings


class ProjectorSettings(DaemonSettings):
    """`/etc/agentplane/projector.json`."""

    nats: NatsSettings
    postgres: PostgresSettings  # as agentplane_project
    read_postgres: PostgresSettings  # as agentplane_read
    read_connections: Annotated[int, Field(ge=1, le=32)] = 3
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0  # between looks at the log when nothing wakes us
    batch_events: Annotated[int, Field(ge=1, le=10_000)] = 256  # per transaction
