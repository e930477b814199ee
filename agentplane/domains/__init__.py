"""Domains plug in: a folder with specs, controllers, projections, fixtures and tests adds kinds of resources. Pure.

A resource is a document with apiVersion, kind, metadata, spec and status on the stream (tenant, kind, namespace, name).
People wish for a spec (`resource.apply-requested`), control stores what follows from it (`resource.applied`), and
controllers of the kind reconcile: they look at one event and one resource and return a frozen decision. Everything
around a decision (ids, causes, versions, races, dead letters) is done here and in services/control, once for all kinds.

| module | its one concern |
|---|---|
| model | what a domain declares: kinds, controllers, projections |
| controller | what a controller is, sees and decides |
| registry | all kinds of an installation, checked against each other |
| discovery | the domains that are installed: our own and those of the entry point group `agentplane.domains` |
| resource, fold, state | a resource, what each event does to it, and all of them |
| specs | documents and intents held to their kind's model |
| admission | wishes to apply and delete become facts |
| reconciling | a controller's decision becomes events |
| simulation | what would follow from a wish; nothing is stored |
"""
