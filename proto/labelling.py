"""What is kept of asking a language model about creators."""

from __future__ import annotations

from enum import StrEnum

from proto.ids import AccountKey
from proto.records import Record


class Outcome(StrEnum):
    """What became of asking; ``NONE``: nobody was asked yet."""

    NONE = ""
    LABELLED = "labelled"
    UNSURE = "unsure"
    REFUSED = "refused"
    """No valid answer, with the error sent back as well."""


class Labelling(Record):
    """When a creator is asked about next, what was asked last, and the labels that came of it or of an earlier time."""

    due_at: int = 0
    """Epoch seconds; 0: not at all."""
    outcome: Outcome = Outcome.NONE
    """``LABELLED`` also where a later answer was refused or unsure and the labels were left as they were."""
    accounts: list[AccountKey] = []
    """Those that the texts were of."""
    asked_at: int = 0
    asked_digest: str = ""
    """Of the texts that were sent."""
    asked_versions: list[str] = []
    """Of taxonomy and prompt, and the language of the summary."""
    asked_models: str = ""
    """Whom, first and second with a comma between; empty in records of old."""
    vector: bytes = b""
    """float16, of the content then."""
    at: int = 0
    """When the labels came; what follows is theirs."""
    model: str = ""
    digest: str = ""
    prompt_version: str = ""
    taxonomy_version: str = ""
    primary_niche: str = ""
    secondary_niches: list[str] = []
    content_style: str = ""
    summary: str = ""
    confidence: float = 0.0


class Spend(Record):
    """Of one model on one day (UTC). ``micros``: millionths of the currency that prices are stated in."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    micros: int = 0
    reserved_tokens: int = 0
    """Of calls that are on their way, or that a crash cut short: they count as spent."""
    reserved_micros: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens + self.reserved_tokens
