"""From a valid bundle and a wish to the pins of a run: everything that determines it. Pure."""

from datetime import datetime

from agentplane.bundles.model import Bundle
from agentplane.clock import rfc3339
from agentplane.ids import Digest
from agentplane.runs.model import Pins, RunRequested


def pin(bundle: Bundle, intent: RunRequested, policy_digest: Digest, now: datetime) -> Pins:
    """Pin a bundle. `now` becomes the guest's clock base, aware; a replay takes the pins of its original instead."""
    return Pins(
        bundle=bundle.ref,
        bundle_digest=bundle.digest,
        source=intent.source,
        module=bundle.module,
        smoke=bundle.smoke,
        inputs=intent.inputs,
        backend_intent=bundle.backend_intent,
        network_mode=bundle.network_mode,
        artifact_targets=bundle.artifact_targets,
        resources=bundle.resources,
        lane=bundle.lane,
        max_run_seconds=bundle.max_run_seconds,
        fail_on_timeout=bundle.fail_on_timeout,
        secrets=bundle.secrets,
        secret_ref_root=bundle.secret_ref_root,
        out_dir=bundle.out_dir,
        policy_digest=policy_digest,
        seed=intent.seed,
        clock_base=rfc3339(now),
        built=intent.built,
    )
