"""Artifact documents: what the seeds call RunArtifact, ReplayArtifact and so on, built from facts.

In: pins, reports, comparisons, times. Out: documents that are valid against the seeds' schemas, and their file names.
Builders are pure; they sign nothing (that is `evidence`) and write nothing (that is the executor).
"""
