"""What people wish of runs, as models: the public contract of these intents. What they mean: agentplane.runs.model."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from agentplane.domains.model import Spec
from agentplane.errors import Refused
from agentplane.events.model import Event

REQUESTED: Final = "run.requested"
CANCEL_REQUESTED: Final = "run.cancel-requested"
_FEW: Final = 5


class StorePath(Spec):
    """Content in the Nix store."""

    path: Annotated[str, Field(max_length=4096, description="/nix/store/<hash>-<name>")]
    nar_hash: Annotated[str, Field(max_length=200, description="What it must hash to: sha256:…")]


class FileFact(Spec):
    """A file of the bundle that a rule looks at."""

    path: Annotated[str, Field(max_length=4096, description="Relative to the bundle's directory")]
    type: Annotated[str, Field(max_length=20, description="regular, directory, symlink, other, missing")]
    executable: Annotated[bool, Field(description="Whether it may be executed")]
    size_bytes: Annotated[int, Field(description="Its size")]


class Input(Spec):
    """A read-only tree for the guest."""

    name: Annotated[str, Field(max_length=63, description="A DNS label: it stands at /inputs/<name>")]
    tree: Annotated[StorePath, Field(description="What is in it")]


class Built(Spec):
    """A guest of the bundle that somebody has built, signed and pushed."""

    backend: Annotated[str, Field(max_length=20, description="microvm, process")]
    spec: Annotated[StorePath, Field(description="The guest's specification")]


class Run(Spec):
    """A wish to run a bundle; `agentplane run` writes it."""

    bundle: Annotated[dict[str, Any], Field(description="The bundle's document, as parsed")]
    bundle_path: Annotated[str, Field(max_length=4096, description="Where its author has it; words only")]
    source: Annotated[StorePath, Field(description="The bundle's directory in the Nix store")]
    files: Annotated[tuple[FileFact, ...], Field(max_length=10_000, description="What the author's side saw of files")]
    inputs: Annotated[tuple[Input, ...], Field(max_length=1000, description="Read-only trees for the guest")] = ()
    executor: Annotated[
        str | None, Field(max_length=253, description="Where to run it; spec.executor.ref of the bundle wins")
    ] = None
    seed: Annotated[str, Field(max_length=200, description="For what the guest draws by lot")] = "0"
    built: Annotated[
        tuple[Built, ...], Field(max_length=10, description="Pushed guests to run instead of building one")
    ] = ()
    replay_of: Annotated[str | None, Field(max_length=253, description="A run whose pins replace all of the above")] = (
        None
    )


class Cancellation(Spec):
    """A wish to stop a run; `agentplane cancel` writes it."""

    reason: Annotated[str, Field(description="Kept in the log")]


class Executor(Spec):
    """What an executor reports of itself; nobody writes it by hand."""

    os: Annotated[str, Field(description="linux")]
    arch: Annotated[str, Field(description="x86_64, aarch64")]
    backends: Annotated[tuple[str, ...], Field(description="microvm, qemu, process")]
    networks: Annotated[tuple[str, ...], Field(description="none")]
    vcpus: Annotated[int, Field(ge=0, description="Processors for guests")]
    memory_mib: Annotated[int, Field(ge=0, description="Memory for guests, MiB")]
    disk_mib: Annotated[int, Field(ge=0, description="Room for runs, MiB")]


MODELS: Final[dict[str, type[BaseModel]]] = {REQUESTED: Run, CANCEL_REQUESTED: Cancellation}


def check(intent: Event) -> None:
    """Hold an intent about a run to its model. Raises Refused, code `event.payload`; fields are named, values not."""
    try:
        MODELS[intent.type].model_validate(intent.data, strict=False)
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False, include_context=False)
        words = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors[:_FEW])
        raise Refused(
            f"data of {intent.type}: {words}",
            code="event.payload",
            hint=f"agentplane schema Run; {len(errors)} problems",
        ) from None
