"""The doctor's checks of settings: where they come from, who may read secrets, models, memory, ports."""

from __future__ import annotations

import math
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

from daemon.config import (
    DISABLED,
    SECRETS,
    Config,
    instagram_tokens,
    known_keys,
    memory_ceiling_bytes,
    model_folder,
    switched_off,
    value_at,
)
from daemon.doctor_patient import Patient
from daemon.findings import Finding, fault, note, warning
from daemon.housekeeping import expiry_words
from daemon.memory import unit_limit_bytes
from daemon.resources import MOST_OPEN_FILES
from daemon.web.tls import tls_of
from models.build import MODEL, REMEDY, TOKENIZER, damaged_file, read_manifest
from proto.errors import ConfigError, Malformed

LEAST_FILES = 1_024
"""Open files: sockets, graphs, segments of the keyword index."""
GIB = 1 << 30
SHOWN_CHARS = 80
EXPIRY_DAYS = 14
"""So long before its end a certificate is warned of."""


def origins(patient: Patient) -> list[Finding]:
    """Values that are not the default ones, and what set each."""
    loaded, usual = patient.loaded, Config()
    found = []
    for key in known_keys():
        value = value_at(loaded.config, key)
        if value == value_at(usual, key) or loaded.origin[key] == "default":
            continue
        shown = "********" if key in SECRETS else repr(value)[:SHOWN_CHARS]
        place = loaded.origin[key]
        found.append(note("origin", f"{key} = {shown} ({loaded.path if place == 'file' else place})"))
    return found


def secrets(patient: Patient) -> Iterator[Finding]:
    """Files that hold keys, and the one that holds the settings."""
    config = patient.config
    named = {
        "platforms.youtube.key_file": config.platforms.youtube.key_file,
        "platforms.instagram.tokens_file": config.platforms.instagram.tokens_file,
        "llm.key_file": config.llm.key_file,
        "llm.second.key_file": config.llm.second.key_file,
        "model.key_file": config.model.key_file,
        "admin.key_file": config.admin.key_file,
    }
    for key, text in named.items():
        path = Path(text).expanduser()
        if text and path.is_file() and path.stat().st_mode & 0o077:
            mode = path.stat().st_mode & 0o777
            yield fault("secrets", f"{key}: {path} can be read by others (mode {mode:04o})", f"chmod 0600 {path}")
    if config.admin.key_file and not Path(config.admin.key_file).is_file():
        yield fault(
            "secrets", f"admin.key_file: {config.admin.key_file} is not there", "write a key into it, or unset it"
        )
    file = patient.loaded.path
    if file is not None and file.stat().st_mode & 0o022:
        yield warning("secrets", f"{file} can be written by others", f"chmod go-w {file}")


def tls(patient: Patient) -> Iterator[Finding]:
    http, remedy = patient.config.http, "renew the files, then `pokedexd ctl reload`"
    try:
        found = tls_of(http.tls_cert_file, http.tls_key_file)
        days = (found.ends_at() - patient.now) / 86_400 if found is not None else math.inf
    except ConfigError as error:
        yield fault("tls", str(error), remedy)
        return
    if days < EXPIRY_DAYS:
        yield warning("tls", f"http.tls_cert_file: {http.tls_cert_file} ends in {days:.1f} days", remedy)


def platforms(patient: Patient) -> Iterator[Finding]:
    if patient.is_demo:
        yield note("keys", f"a demo lives in {patient.data_dir}: its platforms are played, and take no key of yours")
        return
    for platform, reason in switched_off(patient.config).items():
        if reason != DISABLED:
            remedy = f"give it one, or set platforms.{platform.value}.enabled = false"
            yield warning("keys", f"nothing is fetched from {platform.value}: {reason}", remedy)
    instagram = patient.config.platforms.instagram
    for token in instagram_tokens(patient.config):
        words = expiry_words(token, instagram.expiry_warning_days, patient.now)
        if words:
            make = fault if "ended" in words else warning
            yield make("keys", f"instagram/{token.name}: {words}", "ask Meta for a new one, replace it and restart")


def model_files(patient: Patient) -> Iterator[Finding]:
    if patient.config.model.kind == "endpoint":
        return
    folder = model_folder(patient.config)
    missing = [name for name in (MODEL, TOKENIZER) if not (folder / name).is_file()]
    if missing:
        yield fault("model", f"{folder / missing[0]} is not there: search goes by keywords alone", REMEDY)
        return
    try:
        manifest = read_manifest(folder)
    except Malformed as error:
        yield fault("model", str(error), REMEDY)
        return
    if manifest is None:
        yield note("model", f"{folder} has no manifest: its files cannot be checked")
    elif (damaged := damaged_file(folder, manifest)) is not None:
        yield fault("model", f"{damaged} does not have the checksum of its manifest", REMEDY)


def memory(patient: Patient) -> Iterator[Finding]:
    ceiling, machine = memory_ceiling_bytes(patient.config), machine_bytes()
    limit = unit_limit_bytes(patient.holder)
    if not ceiling:
        most = f", up to its control group's {limit / GIB:.2f} GiB" if limit else ""
        yield note("memory", f"memory.ceiling is not set: the daemon takes what it needs{most}")
    elif machine and ceiling > machine:
        yield warning(
            "memory",
            f"memory.ceiling is {ceiling / GIB:.1f} GiB, and the machine has {machine / GIB:.1f}",
            "lower it: the kernel ends the daemon before that",
        )
    if ceiling and limit and limit < ceiling:
        yield fault(
            "memory",
            f"the unit's MemoryMax is {limit / GIB:.2f} GiB, below memory.ceiling of {ceiling / GIB:.2f}",
            "write the unit anew with `pokedexd deploy systemd --force`, and reload systemd",
        )


def files(patient: Patient) -> Iterator[Finding]:
    limit = open_files_of(patient.holder)
    if limit < LEAST_FILES:
        remedy = f"ulimit -n {LEAST_FILES}, or LimitNOFILE= in the unit"
        yield fault("open_files", f"only {limit} files may be open, {LEAST_FILES} are needed", remedy)


def address(patient: Patient) -> Iterator[Finding]:
    """Only where no daemon has it."""
    http = patient.config.http
    if patient.holder or not http.port:
        return
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((http.host, http.port))
        except OSError as error:
            text = f"{http.host}:{http.port} cannot be listened on: {error.strerror}"
            yield fault("address", text, "end what listens there (ss -ltnp), or choose another http.port")


def machine_bytes() -> int:
    """0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def open_files_of(pid: int) -> int:
    """That a daemon may have; where there is none, that one would allow itself (`raise_open_files`)."""
    try:
        limit, hard = resource.prlimit(max(pid, 0), resource.RLIMIT_NOFILE)
    except OSError:
        pid, (limit, hard) = 0, resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = limit if pid > 0 else max(limit, min(hard, MOST_OPEN_FILES))
    return limit if limit != resource.RLIM_INFINITY else 1 << 30


CHECKS = (origins, secrets, tls, platforms, model_files, memory, files, address)
