"""The domain `work`: the event families of VerMAS. Everything about it is in this folder.

facts (what each event says) → catalogue (all of them) → streams (whose history they are) → projections (what people
see of it) → shown (how). aliases make one vocabulary of two. A work order may also be applied as a document: specs,
controllers. Figures over all this are in agentplane.eval.
"""

from typing import Final

from agentplane.domains.model import Domain, Kind
from agentplane.domains.work.catalogue import FACTS
from agentplane.domains.work.controllers import Announcement, Progress
from agentplane.domains.work.shown import VIEWS
from agentplane.domains.work.specs import WorkOrder

DOMAIN: Final = Domain(
    name="work",
    kinds=(
        Kind(
            name="WorkOrder",
            plural="workorders",
            api_version="agentplane.io/v1alpha1",
            spec=WorkOrder,
            controllers=(Announcement(), Progress()),
            columns=(
                ("title", "spec.title"),
                ("priority", "spec.priority"),
                ("phase", "status.phase"),
                ("assignee", "status.assignee"),
            ),
            description="Something that should be done, how urgent it is, and who does it.",
        ),
    ),
    facts=FACTS,
    views=VIEWS,
)
