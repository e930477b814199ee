"""Who the control plane is, and whom it trusts. Reads files, once; a restart reads them again."""

import os
from pathlib import Path

from agentplane.bus.callout import Issuer
from agentplane.bus.nkeys import read_seed
from agentplane.documents.edge import read_document
from agentplane.errors import Refused
from agentplane.evidence.edge import load_executor_nkeys, load_signer, load_trusted_keys
from agentplane.evidence.keys import CONTROL, Signer, TrustedKeys
from agentplane.fleet.inventory import inventory_of
from services.control.config import ControlSettings


class Identity:
    """Keys and inventory, loaded once."""

    def __init__(self, settings: ControlSettings) -> None:
        """Load them. Raises Refused, NotFound: a key or the inventory is missing, unfit or not ours."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        self.signer: Signer = load_signer(
            settings.signing_key_file, CONTROL, credentials=Path(credentials) if credentials else None
        )
        self.trusted: TrustedKeys = load_trusted_keys(settings.executor_keys_dir)
        if (CONTROL, self.signer.key_id) not in {(key.identity, key.key_id) for key in self.trusted.keys()}:  # noqa: SIM118
            raise Refused(
                "its public half is not among the trusted control*.pub, so no executor would believe us",
                code="control.key",
                where=str(settings.signing_key_file),
                hint=f"copy it into {settings.executor_keys_dir}",
            )
        self.inventory = inventory_of(read_document(settings.inventory_file))
        self.nkeys = load_executor_nkeys(settings.executor_keys_dir)
        joining = settings.joining
        self.issuer = Issuer(bytes(read_seed(joining.issuer_seed_file))) if joining else None
