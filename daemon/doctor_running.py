"""The doctor's checks by what a running daemon says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemon.config import memory_ceiling_bytes
from daemon.doctor_patient import Patient
from daemon.figures import resident_bytes
from daemon.findings import Finding, fault, warning

NEAR_SHARE = 0.9
"""Of memory.ceiling."""
MANY_RESTARTS = 3


def dependencies(patient: Patient) -> Iterator[Finding]:
    assert patient.status is not None
    for name, part in patient.status.ready.dependencies.items():
        text = f"{name} is {part.state}{f': {part.detail}' if part.detail else ''}"
        if part.state in ("down", "failed"):
            yield fault("dependency", text, "see the reason; the daemon asks again now and then")
        elif part.state == "missing":
            yield fault("dependency", text, "see the reason, then restart")


def stages(patient: Patient) -> Iterator[Finding]:
    assert patient.status is not None
    for stage in patient.status.ready.stages:
        if stage.state == "stopped":
            yield fault("stage", f"the stage {stage.name} has ended", "restart the daemon, and look into its log")
        elif stage.restarts >= MANY_RESTARTS:
            text = f"the stage {stage.name} was restarted {stage.restarts} times"
            yield warning("stage", text, "look into the daemon's log for its errors")


def budgets(patient: Patient) -> Iterator[Finding]:
    assert patient.status is not None
    for one in patient.status.budgets:
        name = f"{one.platform}/{one.bucket}"
        if one.state == "disabled":
            remedy = "replace the key or token and restart"
            yield fault("keys", f"{name}: the platform refuses its key or token (pokedexd ctl status)", remedy)
        elif one.state == "closed":
            text = f"{name} is spent: {one.used:,} of {one.limit:,} units, until {one.resets_at}"
            yield warning("budget", text, "it comes back by itself; ask the platform for more, or take in less")


def letters(patient: Patient) -> Iterator[Finding]:
    assert patient.status is not None
    if patient.status.dead_letters:
        text = f"{patient.status.dead_letters:,} dead letters wait for somebody to look"
        yield warning(
            "dead_letters", text, "pokedexd ctl dead-letters tells the causes; pokedexd ctl replay tries them again"
        )


def same_place(patient: Patient) -> Iterator[Finding]:
    """The daemon that answers may have other settings than these."""
    assert patient.status is not None
    theirs = Path(patient.status.data_dir)
    if theirs.resolve() != patient.data_dir.resolve():
        text = f"the daemon on {patient.admin_socket} has {theirs}, not {patient.data_dir}"
        yield fault("holder", text, "give both the same --config, --data-dir and admin.socket")


def memory_in_use(patient: Patient) -> Iterator[Finding]:
    assert patient.status is not None
    used, ceiling = resident_bytes(patient.status.pid), memory_ceiling_bytes(patient.config)
    if ceiling and used > NEAR_SHARE * ceiling:
        make = fault if used > ceiling else warning
        text = f"the daemon uses {used / (1 << 30):.2f} GiB of {ceiling / (1 << 30):.2f} (memory.ceiling)"
        yield make("memory", text, "raise memory.ceiling and the unit's limit, or keep fewer creators")


CHECKS = (dependencies, stages, budgets, letters, same_place, memory_in_use)
