"""Shorthands for what the checks find."""

from __future__ import annotations

from sessionguard.records import Diagnosis, Verdict


def green(subject: str, says: str) -> Diagnosis:
    """All is well."""
    return Diagnosis(subject, Verdict.GREEN, says)


def yellow(subject: str, says: str, cure: str) -> Diagnosis:
    """It works, and may cost something one day."""
    return Diagnosis(subject, Verdict.YELLOW, says, cure)


def red(subject: str, says: str, cure: str | None = None) -> Diagnosis:
    """It does not work, or conversations are lost; `cure` is None where `says` names it."""
    return Diagnosis(subject, Verdict.RED, says, cure)
