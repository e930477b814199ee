"""agentplane: an execution control plane for governed bundle runs.

The corridor, one direction and one door back:

    intent -> controller -> event -> store -> bus -> executor -> VM -> evidence -> projection -> query

The executor's report (outcome and evidence) is the only way back in; it enters like an intent.
"""

__version__ = "0.1.0"
