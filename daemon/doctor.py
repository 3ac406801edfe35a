"""`pokedexd doctor`: looks at everything that the daemon stands on, with and without a running one, and
changes nothing but the booking of the calls that it makes.

Each check is a function of `Patient` that returns findings. One that fails in a way that nobody foresaw is a finding too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from daemon import doctor_outside, doctor_running, doctor_settings, doctor_store
from daemon.admin_client import AdminClient
from daemon.config import Loaded, admin_socket_path, data_dir, suppression_path
from daemon.doctor_patient import Patient
from daemon.findings import Examination, Finding, Severity, fault
from proto.api import AdminStatus
from proto.errors import ConfigError, PokedexError

Check = Callable[[Patient], Iterable[Finding]]

ORDER = (Severity.FAULT, Severity.WARNING, Severity.NOTE)


def examine(
    load: Callable[[], Loaded],
    environ: Mapping[str, str],
    *,
    offline: bool,
    clock: Callable[[], float] = time.time,
    tell: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Blocking. ``offline``: nobody outside this machine is called. ``tell``: which check is under way."""
    try:
        loaded = load()
    except ConfigError as error:
        remedy = "mend the settings; `pokedexd config check` tells whether they are right"
        findings = [fault("settings", line, remedy) for line in str(error).splitlines()]
        return Examination(data_dir="", running=False, findings=findings)
    patient = make_patient(loaded, environ, offline=offline, clock=clock, tell=tell)
    findings = []
    for check in checks(patient):
        name = check.__name__.replace("_", " ")
        tell(name)
        try:
            findings += check(patient)
        except (PokedexError, OSError) as error:
            findings.append(fault(name, f"cannot be looked at: {error}", "see the reason"))
    findings.sort(key=lambda one: ORDER.index(one.severity))
    return Examination(data_dir=str(patient.data_dir), running=patient.status is not None, findings=findings)


def make_patient(
    loaded: Loaded,
    environ: Mapping[str, str],
    *,
    offline: bool,
    clock: Callable[[], float],
    tell: Callable[[str], None] = lambda _: None,
) -> Patient:
    folder = data_dir(loaded.config, environ)
    return Patient(
        loaded=loaded,
        data_dir=folder,
        admin_socket=admin_socket_path(loaded.config, environ, folder),
        suppression_file=suppression_path(loaded.config, environ, folder),
        holder=doctor_store.holder_of(folder),
        status=_status(admin_socket_path(loaded.config, environ, folder)),
        offline=offline,
        now=clock(),
        user_id=os.geteuid(),
        tell=tell,
    )


def _status(path: Path) -> AdminStatus | None:
    if not doctor_store.listens(path):
        return None
    try:
        return AdminClient(path).status()
    except PokedexError:
        return None


def checks(patient: Patient) -> list[Check]:
    found: list[Check] = [*doctor_settings.CHECKS, *doctor_store.CHECKS]
    found += doctor_running.CHECKS if patient.status is not None else doctor_store.STOPPED_CHECKS
    return found + ([] if patient.offline else list(doctor_outside.CHECKS))
