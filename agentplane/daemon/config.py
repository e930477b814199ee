"""Configuration: one JSON file per daemon, checked whole before anything starts.

A NixOS module renders its `settings` to this file and runs `--check-config` on it at build time, so checking opens
no socket and needs none of the files that the configuration names.
"""

import json
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentplane.bus.tls import Tls, address_problem, plaintext_problem
from agentplane.errors import Refused


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Settings(BaseModel):
    """Base of all configuration: unknown fields are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DaemonSettings(Settings):
    """What every daemon can be told."""

    metrics_port: Port | None = None  # on 127.0.0.1, for Prometheus; None: off


class TlsSettings(Settings):
    """Whom to believe when the bus shows a certificate."""

    ca_file: AbsolutePath | None = None  # PEM, public; None: the system's authorities
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None  # None: the name in the address


class NatsSettings(Settings):
    """How to reach the bus."""

    servers: Annotated[tuple[str, ...], Field(min_length=1)]  # tls://HOST:PORT; nats:// on this machine
    nkey_seed_file: AbsolutePath | None = None  # None: a server without authentication (tests only)
    tls: TlsSettings | None = None  # needed off this machine; tls:// alone means the system's authorities
    allow_plaintext: bool = False  # off this machine without TLS: only where a tunnel encrypts already

    @model_validator(mode="after")
    def _encrypted_or_here(self) -> Self:
        problem = address_problem(self.servers) or plaintext_problem(
            self.servers, tls=self.tls is not None, allow_plaintext=self.allow_plaintext
        )
        if problem:
            raise ValueError(f"{problem}; set tls.ca_file, or allow_plaintext where a tunnel encrypts already")
        return self

    @property
    def encryption(self) -> Tls | None:
        """What `tls` says, in the bus's words."""
        if self.tls is None:
            return None
        ca_file = None if self.tls.ca_file is None else str(self.tls.ca_file)
        return Tls(ca_file=ca_file, server_name=self.tls.server_name)


class PostgresSettings(Settings):
    """How to reach the record: a libpq connection string without a password, and where the password is."""

    conninfo: str  # libpq: host, port, dbname, user; never a password
    passfile: AbsolutePath | None = None  # libpq's password file, mode 0600

    def full_conninfo(self) -> str:
        """The connection string, naming the password file; the password itself never passes through us."""
        return f"{self.conninfo} passfile={self.passfile}" if self.passfile else self.conninfo


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def load_settings(path: Path, model: type[SettingsT]) -> SettingsT:
    """Read and check a configuration file.

    Raises:
        Refused: `config.unreadable`, `config.syntax` or `config.invalid`; the last names every wrong field.
    """
    return check_settings(load_document(path), model, origin=str(path))


def load_document(path: Path) -> object:
    """What a JSON file says. Raises Refused: `config.unreadable`, `config.syntax`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"cannot read the configuration: {exc}", code="config.unreadable", where=str(path)) from exc
    try:
        document: object = json.loads(text)
    except json.JSONDecodeError as exc:
        raise Refused(exc.msg, code="config.syntax", where=f"{path}:{exc.lineno}:{exc.colno}") from exc
    return document


def check_settings(document: object, model: type[SettingsT], *, origin: str) -> SettingsT:
    """A document as settings. Raises Refused (`config.invalid`) naming every wrong field, never its value."""
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        problems = "; ".join(_problem(error["loc"], error["msg"]) for error in exc.errors(include_input=False))
        raise Refused(
            problems, code="config.invalid", where=origin, hint="run the daemon with --check-config after the change"
        ) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, location)) or 'the document'}: {message}"
