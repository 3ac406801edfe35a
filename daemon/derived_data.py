"""Whether a store holds what was derived of YouTube's data, which nobody may lose by leaving a setting out."""

from __future__ import annotations

from daemon.config import Config
from proto.errors import ConfigError
from proto.ids import Platform
from stores.env import Txn

EMBEDDED_WITH = "embedded_with"
"""Meta entry: under which model and policy every account was embedded or is on its way to be."""
WITHOUT = " without "
UNSTATED = (
    "the store holds data derived of YouTube's (embeddings, labels, figures), and the settings do not state "
    "platforms.youtube.derived_data"
)
UNSTATED_REMEDY = "set it to 'granted' to keep them, or to 'denied', and the next start erases them"

WORDS_ALONE = (
    "of YouTube's accounts nothing is derived, no vectors, labels or figures, since the settings do not state "
    "platforms.youtube.derived_data: they are found by their words alone"
)
WORDS_ALONE_REMEDY = (
    "set it to 'granted' where you hold YouTube's grant, and the next start has all computed; else to 'denied'"
)
EXPORT_REMEDY = (
    "set it as the daemon's settings do (--config, or POKEDEXD_PLATFORMS__YOUTUBE__DERIVED_DATA): to 'granted', as a demo "
    "has it, to write them too, or to 'denied' to leave them out"
)


KEYS_BEGIN = f"{Platform.YOUTUBE.value}:".encode()
"""How keys of YouTube's accounts begin."""


def mark_of(model_id: str, denied: list[str]) -> str:
    """``model_id``: empty without a model; ``denied``: platforms of which nothing may be derived."""
    return WITHOUT.join([model_id, *denied])


def is_lifted(before: str | None, denied: list[str]) -> bool:
    """Whether something may be derived of a platform now of which under the mark ``before`` nothing might be."""
    return before is not None and not _denied(before).issubset(denied)


def _denied(mark: str) -> set[str]:
    return set(mark.split(WITHOUT)[1:])


def holds_derived(txn: Txn) -> bool:
    """Of YouTube's data; also while it is being erased."""
    if next(txn.scan("account_vectors", KEYS_BEGIN), None) is not None:
        return True
    mark = txn.get("meta", EMBEDDED_WITH.encode())  # labels and figures come without a model too
    permitted = mark is not None and Platform.YOUTUBE.value not in _denied(mark.decode())
    return permitted and holds_accounts(txn)


def holds_accounts(txn: Txn) -> bool:
    """Of YouTube."""
    return next(txn.scan("accounts", KEYS_BEGIN), None) is not None


def refuse_unstated(txn: Txn, config: Config, remedy: str = UNSTATED_REMEDY) -> None:
    """Raises ConfigError where a start would erase, or an export leave out, what nobody said is to be."""
    if not config.platforms.youtube.derived_data and holds_derived(txn):
        raise ConfigError(f"{UNSTATED}: {remedy}")
