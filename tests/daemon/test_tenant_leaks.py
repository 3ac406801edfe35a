"""Nothing of one tenant ever shows to another: random operations against an oracle."""

from __future__ import annotations

import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.tenancy import Tenancy, TenantRows
from tests.daemon.tenant_story import MARKS, OPERATIONS, Leak, tenant_story


@pytest.mark.parametrize(("seed", "operations"), [(1, 2_000), (2, 1_000)])
async def test_each_tenant_sees_what_is_its_own(tmp_path: Path, seed: int, operations: int) -> None:
    rng = random.Random(seed)
    with capture_logs() as logs:
        async with tenant_story(tmp_path) as story:
            for _ in range(operations):
                await story.step(rng)
            assert set(story.operations) == set(OPERATIONS)
    assert not any(mark in repr(logs) for mark in MARKS.values())


@pytest.mark.parametrize("leak", ["rows", "lists", "notes_on", "hidden", "list_names"])
async def test_the_oracle_notices_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str) -> None:
    """What one tenant asks about is answered as if the other had asked."""
    sound: Any = getattr(Tenancy, leak)

    async def leaky(self: Tenancy, tenant_id: str, *more: Collection[str]) -> TenantRows:
        found: TenantRows = await sound(self, "alpha" if tenant_id == "beta" else tenant_id, *more)
        return found

    monkeypatch.setattr(Tenancy, leak, leaky)
    rng = random.Random(5)
    with pytest.raises(BaseException) as caught:
        async with tenant_story(tmp_path) as story:
            for _ in range(1_000):
                await story.step(rng)
    assert "Leak" in repr(caught.value) or isinstance(caught.value, Leak)
