"""What the projector needs to know."""

from typing import Annotated

from pydantic import Field

from agentplane.daemon.config import AbsolutePath, DaemonSettings, NatsSettings, PostgresSettings, Settings
from agentplane.mirror.lines import Form


class MirrorSettings(Settings):
    """The log as files, for tail, grep and jq."""

    directory: AbsolutePath  # a folder per tenant below it
    format: Form = Form.CLOUDEVENTS  # of the daily files; or plain


class ProjectorSettings(DaemonSettings):
    """`/etc/agentplane/projector.json`."""

    nats: NatsSettings
    postgres: PostgresSettings  # as agentplane_project
    read_postgres: PostgresSettings  # as agentplane_read
    read_connections: Annotated[int, Field(ge=1, le=32)] = 8  # that answer queries at once, shared fairly by tenants
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0  # between looks at the log when nothing wakes us
    batch_events: Annotated[int, Field(ge=1, le=10_000)] = 256  # per transaction
    mirror: MirrorSettings | None = None  # None: no files are written
