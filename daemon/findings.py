"""What the doctor finds: one line each, with what to do about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    FAULT = "fault"
    """Something does not work, or is about to be lost."""
    WARNING = "warning"
    """It works, and will not for ever; or it works otherwise than one may believe."""
    NOTE = "note"
    """Nothing is wrong with it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    check: str
    """Which of the checks, a name that stays."""
    severity: Severity
    text: str
    remedy: str = ""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all checks. ``running``: whether a daemon answered."""

    data_dir: str
    running: bool
    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong; 1: warnings; 2: faults."""
        severities = {one.severity for one in self.findings}
        return 2 if Severity.FAULT in severities else 1 if Severity.WARNING in severities else 0


def fault(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, severity=Severity.FAULT, text=text, remedy=remedy)


def warning(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, severity=Severity.WARNING, text=text, remedy=remedy)


def note(check: str, text: str) -> Finding:
    return Finding(check=check, severity=Severity.NOTE, text=text)
