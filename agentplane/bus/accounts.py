"""nats-server's configuration: who may say what. Pure; somebody else writes it to disk.

Every user is a public nkey with the narrowest permissions its role works with. Answers come to `_INBOX.<public key>.>`,
which nobody else may listen to. Only control and the projector may use JetStream's API: the server delivers what a
consumer asks for to *any* subject its maker names, past that maker's publish permissions (seen: into the stream of
intents), and a guest's output is whatever its author wants. People read history through the query service instead.
"""

import json
from typing import Any, Final

import msgspec

from agentplane.bus.subjects import EVENTS, INTENTS, LOGS, TOKEN
from agentplane.errors import Refused

SYSTEM_ACCOUNT: Final = "SYS"
RESPONSES: Final = {"max": 1, "expires": "1m"}  # answers to one question, and until when
_OPERATORS: Final = ("agentplane.system.intent.Executor.>", "agentplane-query.system.projections-rebuild")
_MIB: Final = 1024 * 1024


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One key and what it may do."""

    name: str  # for people; becomes a comment
    public_key: str  # "U…"
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    responds: bool = False  # may answer what it is asked, once each, wherever the asker wants it


class Callout(msgspec.Struct, frozen=True, kw_only=True):
    """Who is not a user by this configuration is asked about of control (agentplane.bus.callout)."""

    issuer: str  # "A…": whose signature under an answer counts
    watcher: User  # control's key of the system account


class ServerTls(msgspec.Struct, frozen=True, kw_only=True):
    """The server's certificate and key, as files."""

    cert_file: str
    key_file: str


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one nats-server needs to know."""

    port: int
    store_dir: str
    server_name: str = "agentplane"
    host: str = "127.0.0.1"
    max_payload_bytes: int = 4 * _MIB
    max_memory_bytes: int = 64 * _MIB
    max_file_bytes: int = 2048 * _MIB
    max_connections: int = 1000
    pid_file: str | None = None
    monitor_port: int | None = None  # HTTP on 127.0.0.1, for the doctor; None: no monitoring
    tls: ServerTls | None = None  # None: loopback only
    callout: Callout | None = None  # None: only the users of this configuration


def control(public_key: str, name: str = "control") -> User:
    """The control plane: owns the streams, answers heartbeats, publishes facts."""
    streams = (INTENTS, EVENTS, LOGS)
    return User(
        name=name,
        public_key=public_key,
        publish=(
            "agentplane.*.fact.>",
            "agentplane.*.internal.>",
            "agentplane-executor.*.wake",
            "agentplane-executor.*.artifact",
            "_INBOX.>",  # answers to heartbeats
            "$SYS._INBOX.>",  # answers to the server that asks who may connect
            "$JS.ACK.>",
            *(
                f"$JS.API.STREAM.{operation}.{stream}"
                for stream in streams
                for operation in ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE")
            ),
            *(f"$JS.API.CONSUMER.{operation}.{stream}.>" for stream in streams for operation in ("CREATE", "INFO")),
            *(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>" for stream in streams),
        ),
        subscribe=(
            _inbox(public_key),
            "agentplane-executor.*.heartbeat",
            "agentplane-executor.*.key",
            "agentplane-join.*.request",
            "agentplane-attest.*.executor-keys",
            "$SYS.REQ.USER.AUTH",  # who may connect (agentplane.bus.callout)
        ),
    )


def projector(public_key: str, name: str = "projector") -> User:
    """The projector and query service: answers queries, reads stored console output, is woken by facts."""
    return User(
        name=name,
        public_key=public_key,
        publish=(
            "_INBOX.>",  # answers to queries
            "agentplane-executor.*.artifact",
            f"$JS.API.DIRECT.GET.{LOGS}",
        ),
        subscribe=(_inbox(public_key), "agentplane-query.*.*", "agentplane.*.fact.>"),
    )


def executor(public_key: str, executor_name: str) -> User:
    """One executor: its own subjects only."""
    own = f"agentplane-executor.{_token(executor_name)}"
    return User(
        name=f"executor {executor_name}",
        public_key=public_key,
        publish=(f"{own}.report", f"{own}.heartbeat", f"{own}.key", f"{own}.log.>"),
        subscribe=(_inbox(public_key), f"{own}.wake", f"{own}.artifact"),
        responds=True,
    )


def joiner(public_key: str) -> User:
    """Somebody whom nobody knows: may ask to join, and read the answer."""
    return User(
        name="joining",
        public_key=public_key,
        publish=(f"agentplane-join.{_token(public_key)}.request",),
        subscribe=(_inbox(public_key),),
    )


def person(public_key: str, tenant: str, name: str, *, operator: bool = False) -> User:
    """A user of one tenant: intents in, queries, and the tenant's facts as they happen.

    An operator may also say which executors there are, and have the read models built again: they belong to no tenant.
    """
    _token(tenant)
    return User(
        name=f"user {name} of {tenant}{', operator' if operator else ''}",
        public_key=public_key,
        publish=(
            f"agentplane.{tenant}.intent.>",
            f"agentplane-query.{tenant}.*",
            f"agentplane-attest.{tenant}.executor-keys",
            *(_OPERATORS if operator else ()),
        ),
        subscribe=(
            _inbox(public_key),
            f"agentplane.{tenant}.fact.>",
            *(("agentplane.system.fact.>",) if operator else ()),
        ),
    )


def watcher(public_key: str) -> User:
    """Control's second key, of the system account: sees who is connected, and ends connections. Nothing else."""
    return User(
        name="control, of the system account",
        public_key=public_key,
        publish=("$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"),
        subscribe=(_inbox(public_key),),
    )


def render(config: ServerConfig, users: tuple[User, ...]) -> str:
    """The text of nats-server.conf.

    Raises:
        Refused: code `bus.duplicate-user` (two users, one key), `bus.public-key` (not a public user key).
    """
    checked(users if config.callout is None else (*users, config.callout.watcher))
    lines = [
        f"listen: {_quote(f'{config.host}:{config.port}')}",
        f"server_name: {_quote(config.server_name)}",
        *([f"pid_file: {_quote(config.pid_file)}"] if config.pid_file else []),
        *([f"http: {_quote(f'127.0.0.1:{config.monitor_port}')}"] if config.monitor_port else []),
        *(_tls_lines(config.tls) if config.tls else []),
        f"max_payload: {config.max_payload_bytes}",
        f"max_connections: {config.max_connections}",
        "jetstream {",
        f"  store_dir: {_quote(config.store_dir)}",
        "  sync_interval: always",
        f"  max_memory_store: {config.max_memory_bytes}",
        f"  max_file_store: {config.max_file_bytes}",
        "}",
        "authorization {",
        "  users: [",
        *(line for user in users for line in _user_lines(user)),
        "  ]",
        *(_callout_lines(config.callout, users) if config.callout else []),
        "}",
        *(_system_lines(config.callout.watcher) if config.callout else []),
    ]
    return "\n".join(lines) + "\n"


def as_document(user: User) -> dict[str, object]:
    """The user as nats-server reads it from JSON."""
    permissions: dict[str, object] = {
        "publish": {"allow": list(user.publish)},
        "subscribe": {"allow": list(user.subscribe)},
    }
    if user.responds:
        permissions["allow_responses"] = dict(RESPONSES)
    return {"nkey": user.public_key, "permissions": permissions}


def callout_document(callout: Callout, users: tuple[User, ...]) -> dict[str, Any]:
    """The `auth_callout` block: who is known here is not asked about."""
    known = [user.public_key for user in (*users, callout.watcher)]
    return {"issuer": callout.issuer, "auth_users": known}


def system_document(watcher: User) -> dict[str, object]:
    """The system account, with control's second key in it."""
    return {"system_account": SYSTEM_ACCOUNT, "accounts": {SYSTEM_ACCOUNT: {"users": [as_document(watcher)]}}}


def _tls_lines(tls: ServerTls) -> list[str]:
    return [
        "tls {",
        f"  cert_file: {_quote(tls.cert_file)}",
        f"  key_file: {_quote(tls.key_file)}",
        "  handshake_first: true",  # no greeting in the clear that somebody on the way could change
        "}",
    ]


def _user_lines(user: User) -> list[str]:
    return [
        f"    # {json.dumps(user.name)}",
        "    {",
        f"      nkey: {user.public_key}",
        "      permissions: {",
        f"        publish: {{ allow: [{', '.join(map(_quote, user.publish))}] }}",
        f"        subscribe: {{ allow: [{', '.join(map(_quote, user.subscribe))}] }}",
        *([f"        allow_responses: {json.dumps(RESPONSES)}"] if user.responds else []),
        "      }",
        "    }",
    ]


def _callout_lines(callout: Callout, users: tuple[User, ...]) -> list[str]:
    return [f"  auth_callout: {json.dumps(callout_document(callout, users))}"]


def _system_lines(watcher: User) -> list[str]:
    return [f"{name}: {json.dumps(value)}" for name, value in system_document(watcher).items()]


def checked(users: tuple[User, ...]) -> tuple[User, ...]:
    """The same users. Raises Refused: code `bus.duplicate-user` (two users, one key), `bus.public-key`."""
    seen: dict[str, str] = {}
    for user in users:
        key = user.public_key
        if not (key.startswith("U") and key.isalnum() and key.isascii()):
            raise Refused(f"{user.name}: not a public user key", code="bus.public-key", hint="it starts with U")
        if key in seen:
            raise Refused(f"{user.name}: {seen[key]} has this key", code="bus.duplicate-user", hint="a key each")
        seen[key] = user.name
    return users


def _inbox(public_key: str) -> str:
    return f"_INBOX.{public_key}.>"


def _token(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise Refused(f"{value!r} cannot stand in a subject", code="subject.token")
    return value


def _quote(text: str) -> str:
    return json.dumps(text)
