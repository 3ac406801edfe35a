"""Access tokens of the simulated Graph API and the book of their rolling hours (platform-apis 3.4, 3.6)."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, deque
from collections.abc import Callable, Iterable

import msgspec

HOUR_SECONDS = 3_600
SILENT_BELOW_PERCENT = 10
"""Below this the usage header is absent."""


class GraphToken(msgspec.Struct, kw_only=True):
    """A user's access. ``calls_per_hour`` is what Meta does not publish."""

    name: str
    token: str
    ig_user_id: str
    app_secret: str = ""
    """When set, every call needs its proof."""
    expires_at: float | None = None
    """Epoch seconds; None: never."""
    calls_per_hour: int = 200
    revoked: bool = False
    permitted: bool = True
    """False: the token lacks the permission, code 10."""

    def proof(self) -> str:
        return hmac.new(self.app_secret.encode(), self.token.encode(), hashlib.sha256).hexdigest()


class TokenBook:
    """Who called when; a call beyond a token's rolling hour is refused and counted."""

    def __init__(self, tokens: Iterable[GraphToken], clock: Callable[[], float]) -> None:
        self._clock = clock
        self.tokens = {token.name: token for token in tokens}
        self._calls: dict[str, deque[float]] = {name: deque() for name in self.tokens}
        self.charged: Counter[str] = Counter()
        self.over_limit: Counter[str] = Counter()
        self.most_in_an_hour: Counter[str] = Counter()

    def find(self, text: str) -> GraphToken | None:
        return next((token for token in self.tokens.values() if hmac.compare_digest(token.token, text)), None)

    def revoke(self, name: str) -> None:
        """Raises KeyError for an unknown name."""
        self.tokens[name].revoked = True

    def charge(self, token: GraphToken) -> bool:
        """False when the hour is full; such a call does not count in the window."""
        window = self._window(token.name)
        if len(window) >= token.calls_per_hour:
            self.over_limit[token.name] += 1
            return False
        window.append(self._clock())
        self.charged[token.name] += 1
        self.most_in_an_hour[token.name] = max(self.most_in_an_hour[token.name], len(window))
        return True

    def usage(self, token: GraphToken) -> dict[str, int] | None:
        """The body of ``X-App-Usage`` in percent; None while usage is low."""
        percent = 100 * len(self._window(token.name)) // token.calls_per_hour
        if percent < SILENT_BELOW_PERCENT:
            return None
        return {"call_count": percent, "total_time": percent * 4 // 5, "total_cputime": percent // 2}

    def books(self) -> dict[str, dict[str, int]]:
        return {
            name: {
                "calls_per_hour": token.calls_per_hour,
                "charged": self.charged[name],
                "over_limit": self.over_limit[name],
                "most_in_an_hour": self.most_in_an_hour[name],
            }
            for name, token in self.tokens.items()
        }

    def _window(self, name: str) -> deque[float]:
        """Calls of the last 3,600 s; one of exactly 3,600 s ago has left."""
        window, begin = self._calls[name], self._clock() - HOUR_SECONDS
        while window and window[0] <= begin:
            window.popleft()
        return window


def made_tokens(count: int, calls_per_hour: int) -> list[GraphToken]:
    """``demo-1`` … with the text ``graph-demo-1`` …, as a world from the command line has them."""
    return [
        GraphToken(
            name=f"demo-{number}",
            token=f"graph-demo-{number}",
            ig_user_id=str(17_841_499_000_000_000 + number),
            calls_per_hour=calls_per_hour,
        )
        for number in range(1, count + 1)
    ]
