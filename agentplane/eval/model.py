"""Metrics: a value with its formula, its source, what was counted and how it stands to its target. Pure."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

import msgspec

_DIGITS = 6


class Standing(StrEnum):
    """How a value stands to its target."""

    MET = "met"
    MISSED = "missed"
    UNKNOWN = "unknown"  # there is no value
    NONE = "none"  # there is no target


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a value should be: between the bounds that are given; `words` say so for people."""

    words: str
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def standing(self, value: float | None) -> Standing:
        """Whether a value is as it should be."""
        if value is None:
            return Standing.UNKNOWN
        fits = (
            (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )
        return Standing.MET if fits else Standing.MISSED


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric is: everything about it but the figures. `counted`: what its terms count."""

    name: str
    title: str
    formula: str
    source: str
    counted: str
    target: Target | None = None


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A figure. `value` null: nothing to divide by. `unit`: ratio, seconds, count, per hour, per item."""

    name: str
    title: str
    formula: str
    source: str
    counted: str
    unit: str
    value: float | None
    numerator: float | None
    denominator: float | None
    target: str | None
    standing: Standing
    left_out: int = 0  # what could not be counted, such as an end before its beginning


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one question."""

    name: str
    title: str
    metrics: tuple[Metric, ...]


def ratio(meaning: Meaning, numerator: float, denominator: float, *, unit: str = "ratio") -> Metric:
    """One count by another; null when there is nothing to divide by."""
    value = None if denominator == 0 else round(numerator / denominator, _DIGITS)
    return _metric(meaning, unit, value, (numerator, denominator))


def count(meaning: Meaning, number: int) -> Metric:
    """A count, which may well be 0."""
    return _metric(meaning, "count", float(number), (float(number), None))


def average(meaning: Meaning, spans: Sequence[timedelta]) -> Metric:
    """The mean of durations in seconds. Those that end before they begin are left out, and counted."""
    good = [span.total_seconds() for span in spans if span >= timedelta()]
    value = None if not good else round(sum(sorted(good)) / len(good), _DIGITS)
    found = _metric(meaning, "seconds", value, (round(sum(sorted(good)), _DIGITS), float(len(good))))
    return msgspec.structs.replace(found, left_out=len(spans) - len(good))


def _metric(meaning: Meaning, unit: str, value: float | None, terms: tuple[float, float | None]) -> Metric:
    target = meaning.target
    return Metric(
        name=meaning.name,
        title=meaning.title,
        formula=meaning.formula,
        source=meaning.source,
        counted=meaning.counted,
        unit=unit,
        value=value,
        numerator=terms[0],
        denominator=terms[1],
        target=target.words if target else None,
        standing=target.standing(value) if target else Standing.NONE,
    )
