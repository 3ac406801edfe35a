"""The arrows between packages, read from the imports: proto ← stores, models ← actors ← daemon; no cycles."""

from __future__ import annotations

import ast
import graphlib
import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("proto", "stores", "models", "actors", "daemon")
ALLOWED = {
    "proto": {"proto"},
    "stores": {"stores", "proto"},
    "models": {"models", "proto"},
    "actors": {"actors", "stores", "models", "proto"},
    "daemon": {"daemon", "actors", "stores", "models", "proto"},
}
PLATFORM_LIBRARIES = {"httpx2", "msgspec", "trio"}


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = modules()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_keep_to_the_arrows(name: str) -> None:
    package = name.partition(".")[0]
    ours = {one for one in imports_of(MODULES[name]) if one.partition(".")[0] in PACKAGES}
    assert {one.partition(".")[0] for one in ours} <= ALLOWED[package]
    if name.startswith("actors.platforms."):
        assert all(one.startswith(("actors.platforms", "proto")) for one in ours)


def test_actors_do_not_know_each_other() -> None:
    """A stage imports rules and what all stages share, never another stage."""
    names = "scheduler limiter fetcher normaliser embedder identity aggregator enricher indexer sweeper"
    stages = {f"actors.{name}" for name in names.split()}
    for stage in stages:
        assert not (imports_of(MODULES[stage]) & (stages - {stage})), stage


def test_there_are_no_cycles() -> None:
    graph = {
        name: {one for one in imports_of(path) if one in MODULES and one != name} for name, path in MODULES.items()
    }
    tuple(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", PACKAGES)
def test_generic_package_names_resolve_to_ours(package: str) -> None:
    """``proto`` and ``daemon`` are names on package registries too; a stray dependency would overwrite them."""
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)


def test_every_dependency_is_pinned() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [
        *wanted["dependencies"],
        *wanted["optional-dependencies"]["model"],
        *wanted["optional-dependencies"]["avatars"],
        *wanted["optional-dependencies"]["oidc"],
        *wanted["optional-dependencies"]["dev"],
        *wanted["optional-dependencies"]["bench"],
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    for name in names:
        bare = name.split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip().lower().replace("_", "-")
        assert bare in pinned, name
    assert not any("@" in line or "://" in line for line in lines)
