"""Where everything lies in the state directory. Pure path arithmetic."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one state directory."""

    root: Path

    @property
    def context(self) -> Path:
        """What the command line reads."""
        return self.root / "context.json"

    @property
    def ports(self) -> Path:
        """The ports that were free when the stack was first started; kept over restarts."""
        return self.root / "ports.json"

    @property
    def keys(self) -> Path:
        """Ed25519 signing keys (0600) and, in `trusted/`, the public keys that a verifier needs."""
        return self.root / "keys"

    @property
    def trusted_keys(self) -> Path:
        """Public keys only: control.pub, executors/<name>.pub."""
        return self.keys / "trusted"

    @property
    def nkeys(self) -> Path:
        """One NATS nkey seed per role (0600)."""
        return self.root / "nkeys"

    @property
    def passfiles(self) -> Path:
        """One libpq password file per role (0600)."""
        return self.root / "passfiles"

    @property
    def secrets(self) -> Path:
        """Secrets that bundles may refer to by name (0600 files)."""
        return self.root / "secrets"

    @property
    def config(self) -> Path:
        """Rendered configuration, rewritten when the stack starts; edits in it are kept."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One file per process, rotated."""
        return self.root / "log"

    @property
    def postgres(self) -> Path:
        """The cluster: data/, and its Unix socket in socket/. Belongs to the database's user."""
        return self.root / "postgres"

    @property
    def nats(self) -> Path:
        """JetStream's file store."""
        return self.root / "nats"

    @property
    def mirror(self) -> Path:
        """The log as files for tail, grep and jq, a folder per tenant. Deleted, it is written again."""
        return self.root / "mirror"

    @property
    def executor(self) -> Path:
        """The executor's state: journal, runs, guests."""
        return self.root / "executor"

    @property
    def control_socket(self) -> Path:
        """The supervisor's control socket."""
        return self.root / "supervisor.sock"

    @property
    def supervisor_pid(self) -> Path:
        """The supervisor's pid file."""
        return self.root / "supervisor.pid"
