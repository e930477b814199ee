"""Evaluation: how well work went, as figures over the events of a log. Pure.

Events in, metrics out. Each figure says its formula, where the formula comes from, what was counted, and whether its
target is met. What cannot be computed, because there is nothing to divide by, is null and never 0.

| module | its one concern |
|---|---|
| model | metrics, targets, sections |
| observing | events as evaluated: each id once, readable, in order of their time |
| completion, compliance, throughput, delivery, recovery, verification | one section each |
| report | all sections, as data and as Markdown |
"""
