"""How a score is put together: by the settings, by a tenant, for one request. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

from daemon.config import even_weights
from proto.api import WeightsView
from proto.errors import Malformed
from stores.ports import Weights

PARTS = ("keyword", "vector", "quality")
MOST = 1e6
"""Of a field's weight: only how fields compare matters."""


def reweighted(base: Weights, changes: Mapping[str, float]) -> Weights:
    """``changes``: by the name of a part or a vector field. Raises Malformed, naming what is wrong."""
    fields = {**even_weights(), **base.fields}
    known = [*PARTS, *fields]
    for name, value in changes.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise Malformed(f"unknown weight {name[:40]!r}; {hint}")
        check_weight(name, value)
    parts = {part: float(changes.get(part, getattr(base, part))) for part in PARTS}
    total = sum(parts.values())
    if total > 1 + 1e-9:
        said = ", ".join(f"{part} {value:g}" for part, value in parts.items())
        raise Malformed(f"{said} add up to {total:g}; expected 1 at most, so that an exact name stays first")
    return Weights(**parts, fields={name: float(changes.get(name, base.fields.get(name, 0.0))) for name in fields})


def check_weight(name: str, value: float) -> None:
    """``name``: of a part, else a field. Raises Malformed."""
    most = 1.0 if name in PARTS else MOST
    if not (math.isfinite(value) and 0 <= value <= most):
        raise Malformed(f"the weight {name} must be a number from 0 to {most:,.0f}, not {value:g}")


def weights_view(weights: Weights, tenant_id: str, source: str) -> WeightsView:
    return WeightsView(
        tenant_id=tenant_id,
        keyword=weights.keyword,
        vector=weights.vector,
        quality=weights.quality,
        fields=dict(weights.fields),
        source=source,
    )


def told(weights: Weights) -> str:
    """For the audit trail."""
    parts = [f"{part}={getattr(weights, part):g}" for part in PARTS]
    return " ".join([*parts, *(f"{name}={value:g}" for name, value in sorted(weights.fields.items()))])
