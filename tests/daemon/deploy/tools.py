"""Debian's tools, of which the product needs none and some tests do."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def debian_tool(name: str, package: str) -> str:
    """Its path. Without it the test is skipped, but not in CI, which installs it."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is absent: apt install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def run(*command: str, given: str = "") -> str:
    """What it says; it must succeed."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
