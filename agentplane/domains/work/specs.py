"""What people write about a work order: the public contract of its kind."""

from typing import Annotated

from pydantic import Field

from agentplane.domains.model import Spec
from agentplane.domains.work.facts.work_orders import IssueType


class WorkOrder(Spec):
    """Something that should be done, how urgent it is, and who does it."""

    title: Annotated[str, Field(min_length=1, max_length=200, description="What should be done")]
    description: Annotated[str, Field(max_length=20_000, description="All about it, in Markdown")] = ""
    issue_type: Annotated[IssueType, Field(description="What sort of work it is")] = IssueType.TASK
    priority: Annotated[int, Field(ge=0, le=4, description="0 is the most urgent, 4 the least")] = 2
    assignee: Annotated[
        str | None, Field(min_length=1, max_length=200, description="The agent that does it: `project-a/worker-1`")
    ] = None
