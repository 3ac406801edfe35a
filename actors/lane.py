"""What the stages of one platform's lane share: its pace, and whether it is open."""

from __future__ import annotations

from actors.token_bucket import TokenBucket


class Lane:
    """``closed_because`` holds the reason while no call may go out (key refused, paused by the operator)."""

    def __init__(self, pace: TokenBucket) -> None:
        self.pace = pace
        self.closed_because = ""
