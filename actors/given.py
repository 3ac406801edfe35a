"""Creators as a file gives them → what is stored of them, with all that follows from it: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from actors.aggregation import aggregate, language_in
from actors.given_names import UNKNOWN, read_known
from actors.labelling import IMPORTED
from actors.policy import Policy, derivable
from actors.reading import MAX_FOUND
from models.taxonomy import Taxonomy
from proto.errors import Malformed
from proto.given import SUBSTANCE, UNSAID, GivenAccount, GivenCreator, GivenItem, GivenVector
from proto.ids import AccountKey, Platform, Row, creator_id_of
from proto.records import ContentItem, Creator, CreatorAccount, EmbeddingRecord, Enrichment
from stores.catalog import AccountBundle, CreatorBundle, snapshot_of
from stores.unit_vectors import of_unit_length

MAX_LINE_BYTES = 4 << 20
MAX_ACCOUNTS = 50
MAX_ITEMS = 5_000
MAX_ID_CHARS = 100
"""Keys of the store have 511 bytes at most."""
MAX_LANGUAGE_CHARS = 35
"""Of a language tag (RFC 5646)."""
MAX_NAME_CHARS, MAX_TEXT_CHARS = 1_000, 100_000
"""Several times what platforms take: names are compared with names letter by letter."""
MAX_PROBLEM_CHARS = 400
"""Of what is said of a line: its verdict is kept and printed."""
MAX_COUNT = 1 << 53
AHEAD_SECONDS = 86_400
"""So much later than here a clock elsewhere may be; what is later still is no number of seconds."""
INGESTED = (Platform.YOUTUBE, Platform.INSTAGRAM)
FIELDS = frozenset(("bio", "content.0", "content.1"))
"""What an account has vectors of."""
MAX_CANDIDATES = 10
METHODS = ("local", "llm", IMPORTED)
"""What `Enrichment.method` may be; labels of which the file does not say where they come from are `IMPORTED`."""
NO_ID = "@/:"
"""Signs of names and addresses that no platform has in its ids."""
COUNTS = ("followers", "media_count", "total_views", "followers_step")
WEB = ("https://", "http://")


class GivenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What decides how much of a line is taken over."""

    policies: Mapping[Platform, Policy]
    taxonomy: Taxonomy
    model_id: str
    """Of the model in force; empty without one. Vectors of another are left out."""
    dims: int
    recent_items: int
    """Of so many of an account's newest items a creator is computed."""


class Prepared(msgspec.Struct, kw_only=True):
    """A creator that may be stored; only its row is still to be given."""

    bundle: CreatorBundle
    """Accounts in the order of their keys, with their newest items."""
    founder: AccountKey
    """The first of the line, of which the creator's id is made."""
    items: list[list[ContentItem]]
    """All of each account, newest first."""
    unembedded: list[AccountKey]
    """Accounts with a text that has no vector yet."""
    labelled: bool
    notes: list[str]
    """What of the line was left out, and why."""
    unsaid: dict[AccountKey, list[str]]
    """What of `SUBSTANCE` the line does not say of which accounts."""

    @property
    def accounts(self) -> list[CreatorAccount]:
        return [part.account for part in self.bundle.accounts]


_decode = msgspec.json.Decoder(GivenCreator).decode
_NOTHING_SAID = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="")


def prepare(line: bytes, rules: GivenRules, now: int) -> Prepared:
    """Raises Malformed with the place and what was expected."""
    given, told, unsaid = _read(line, now)
    notes: dict[str, None] = dict.fromkeys(told)
    whole = sorted((_part(one, rules, now, notes) for one in given.accounts), key=lambda part: part.account.key)
    recent = [msgspec.structs.replace(part, items=part.items[: rules.recent_items]) for part in whole]
    permitted = derivable(recent, rules.policies)
    labels_stand = _labels_stand(given, rules.taxonomy, notes)
    barred = [part.account.platform for part in recent if not rules.policies[part.account.platform].derives]
    if labels_stand and barred:
        notes[_underived("labels", barred[0])] = None
        labels_stand = False
    if any(_is_over_age(part.account, rules, now) for part in whole):
        notes["an account was read so long ago that it is erased unless it is read again"] = None
    founder = given.accounts[0].key
    founded = Creator(creator_id=creator_id_of(founder), row=Row(0), created_at=now)
    bare = CreatorBundle(
        creator=_labelled(founded, given, rules.taxonomy, now) if labels_stand else founded,
        accounts=recent,
        embeddings={},
    )
    stated = any(part.account.language for part in recent)
    creator, embeddings = aggregate(
        bare, derived_from=permitted, language=None if stated else language_in(permitted), now=now
    )
    return Prepared(
        bundle=CreatorBundle(
            creator=creator, accounts=recent, embeddings={record.field: record for record in embeddings}
        ),
        founder=founder,
        items=[part.items for part in whole],
        unembedded=[part.account.key for part in permitted if rules.model_id and _lacks_vectors(part)],
        labelled=labels_stand,
        notes=list(notes),
        unsaid=unsaid,
    )


def _is_over_age(account: CreatorAccount, rules: GivenRules, now: int) -> bool:
    expires_at = rules.policies[account.platform].expires_at(account)
    return expires_at is not None and expires_at <= now


def _read(line: bytes, now: int) -> tuple[GivenCreator, list[str], dict[AccountKey, list[str]]]:
    """And what is said of names that are not known, and which of `SUBSTANCE` stand for nothing as the line has none."""
    if len(line) > MAX_LINE_BYTES:
        raise Malformed(f"a line of {len(line):,} bytes; a creator has {MAX_LINE_BYTES:,} at most")
    try:
        given, told = _decoded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(_shortened(_explained(str(error)))) from error
    if not 1 <= len(given.accounts) <= MAX_ACCOUNTS:
        raise Malformed(f"{len(given.accounts)} accounts; a creator has 1 to {MAX_ACCOUNTS} - at `$.accounts`")
    keys = [account.key for account in given.accounts]
    if len(set(keys)) < len(keys):
        raise Malformed("one account stands there twice - at `$.accounts`")
    unsaid = {account.key: names for account in given.accounts if (names := _filled_in(account))}
    for at, account in enumerate(given.accounts):
        problem = _problem(account, now + AHEAD_SECONDS)
        if problem:
            raise Malformed(f"{problem} - at `$.accounts[{at}]`")
    return given, told, unsaid


def _filled_in(account: GivenAccount) -> list[str]:
    """Which of `SUBSTANCE` nothing was said of; from now on they are as of an account without any."""
    names = [name for name in SUBSTANCE if getattr(account, name) is UNSAID]
    for name in names:
        setattr(account, name, getattr(_NOTHING_SAID, name))
    return names


def _decoded(line: bytes) -> tuple[GivenCreator, list[str]]:
    try:
        return _decode(line), []
    except msgspec.ValidationError as error:
        if not str(error).startswith(UNKNOWN):
            raise
        return read_known(line)


def _explained(words: str) -> str:
    """The decoder does not say what else there is."""
    if words.startswith("Invalid enum value") and ".platform`" in words:
        return f"{words}; a platform is one of {', '.join(platform.value for platform in INGESTED)}"
    return words


def _shortened(words: str) -> str:
    """The decoder repeats what it does not know as a whole; the place stands at the end."""
    half = MAX_PROBLEM_CHARS // 2
    return words if len(words) <= MAX_PROBLEM_CHARS else f"{words[:half]}…{words[-half:]}"


def _problem(account: GivenAccount, latest: int) -> str:
    """Why this account cannot be stored; empty when it can. ``latest``: instant, in epoch seconds."""
    if account.platform not in INGESTED:
        return f"{account.platform.value} is not ingested by this version"
    if not _is_id(account.platform_user_id) or not (account.handle == "" or _is_word(account.handle)):
        return f"platform_user_id and handle have 1 to {MAX_ID_CHARS} printable characters, the id in ASCII"
    if any(char in account.platform_user_id for char in NO_ID):
        return f"platform_user_id {account.platform_user_id[:60]!r}: the platform's own id is expected, no handle and no URL"
    if len(account.display_name) > MAX_NAME_CHARS or len(account.bio) > MAX_TEXT_CHARS:
        return f"display_name has {MAX_NAME_CHARS:,} characters at most, bio {MAX_TEXT_CHARS:,}"
    if len(account.items) > MAX_ITEMS:
        return f"{len(account.items):,} items; an account brings {MAX_ITEMS:,} at most"
    if account.country and not (len(account.country) == 2 and account.country.isascii() and account.country.isalpha()):
        return f"country {account.country[:40]!r}: two letters (ISO 3166-1) are expected"
    if account.language and not (_is_id(account.language) and len(account.language) <= MAX_LANGUAGE_CHARS):
        return f"language {account.language[:40]!r}: a code such as en or pt-BR is expected"
    for name in COUNTS:
        if not _is_count(getattr(account, name)):
            return f"{name} is a whole number from 0 to {MAX_COUNT:,}"
    for instant in (account.created_at, account.fetched_at, account.content_fetched_at):
        if instant is not None and not 0 <= instant <= latest:
            return f"instant {instant}: seconds since 1970 that have passed are expected"
    for item in account.items:
        problem = _item_problem(item, latest)
        if problem:
            return f"item {item.content_id[:40]!r}: {problem}"
    return ""


def _item_problem(item: GivenItem, latest: int) -> str:
    if not _is_id(item.content_id):
        return f"content_id has 1 to {MAX_ID_CHARS} printable characters in ASCII"
    if max(len(item.title_or_caption), len(item.description)) > MAX_TEXT_CHARS:
        return f"title_or_caption and description have {MAX_TEXT_CHARS:,} characters at most"
    for count in (item.views, item.likes, item.comments, item.duration_seconds):  # looked at here: of each of 20 items
        if count is not None and not 0 <= count <= MAX_COUNT:
            return f"views, likes, comments and duration_seconds are whole numbers from 0 to {MAX_COUNT:,}"
    if not (0 <= item.published_at <= latest and 0 <= item.fetched_at <= latest and 0 <= item.counted_at <= latest):
        return "its instants are seconds since 1970 that have passed"
    return ""


def _is_id(text: str) -> bool:
    return text.isascii() and _is_word(text)


def _is_word(text: str) -> bool:
    return 0 < len(text) <= MAX_ID_CHARS and text.isprintable() and " " not in text


def _is_count(number: int | None) -> bool:
    return number is None or 0 <= number <= MAX_COUNT


def _part(given: GivenAccount, rules: GivenRules, now: int, notes: dict[str, None]) -> AccountBundle:
    """The account with all its items, newest first, and the vectors that may be kept."""
    account = msgspec.structs.replace(
        msgspec.convert(given, CreatorAccount, from_attributes=True),
        handle=given.handle.removeprefix("@"),
        profile_image_url=_url(given.profile_image_url),
        website=_url(given.website),
        links=[link for link in given.links if link.startswith(WEB)][:MAX_FOUND],
        emails=[email for email in given.emails if _is_word(email)][:MAX_FOUND],
        named_accounts=[one for one in given.named_accounts if _is_word(one)][:MAX_FOUND],
        fetched_at=_past(given.fetched_at, now),
        content_fetched_at=_past(given.content_fetched_at or given.fetched_at, now) if given.items else None,
        next_due_at=None,
        creator_id=None,
        misses=0,
        touched_at=None,
        feed_failures=0,
        importance=1.0,
        importance_stated=False,
    )
    vectors: dict[str, EmbeddingRecord] = {}
    if rules.policies[account.platform].derives:
        vectors = _vectors(given.vectors, rules, account.fetched_at, notes)
    elif given.vectors:
        notes[_underived("vectors", account.platform)] = None
    return AccountBundle(
        account=account, items=_items(given.items, account), vectors=vectors, history=[snapshot_of(account)]
    )


def _items(given: Sequence[GivenItem], account: CreatorAccount) -> list[ContentItem]:
    """Each once, the last of several; what was read at no stated time was read with the account."""
    items: list[ContentItem] = msgspec.convert(given, list[ContentItem], from_attributes=True)
    key, fetched_at = account.key, account.fetched_at
    for item in items:
        item.account_key = key
        if item.permalink:
            item.permalink = _url(item.permalink)
        if not 0 < item.fetched_at <= fetched_at:
            item.fetched_at = fetched_at
        if item.counted_at > fetched_at:
            item.counted_at = fetched_at
    once = {item.content_id: item for item in items}
    return sorted(once.values(), key=lambda item: (-item.published_at, item.content_id))


def _vectors(
    given: Sequence[GivenVector], rules: GivenRules, at: int, notes: dict[str, None]
) -> dict[str, EmbeddingRecord]:
    ours = [one for one in given if one.model_id == rules.model_id != ""]
    if len(ours) < len(given):
        other = f"are not of {rules.model_id}" if rules.model_id else "come where there is no model"
        notes[f"vectors that {other} are left out"] = None
    if not ours:
        return {}
    for one in ours:
        if problem := _vector_problem(one, rules):
            raise Malformed(f"vector {one.field[:40]!r}: {problem}")
    whole = np.frombuffer(b"".join(one.vector for one in ours), "<f2").reshape(len(ours), rules.dims)
    if not of_unit_length(whole.astype(np.float32)).all():
        raise Malformed("a vector is not of unit length")
    return {
        one.field: EmbeddingRecord(
            field=one.field,
            model_id=one.model_id,
            dims=rules.dims,
            input_hash=one.input_hash[:MAX_ID_CHARS],
            vector=one.vector,
            updated_at=at,
            weight=one.weight,
        )
        for one in ours
    }


def _vector_problem(one: GivenVector, rules: GivenRules) -> str:
    if one.field not in FIELDS:
        return f"a field is one of {', '.join(sorted(FIELDS))}"
    if len(one.vector) != rules.dims * 2:
        return (
            f"{len(one.vector)} bytes; the {rules.dims} numbers of {rules.model_id} are {rules.dims * 2} bytes of "
            "little-endian float16, in base64"
        )
    return "" if 0 < one.weight <= 1 else f"its weight {one.weight} is not above 0, up to 1"


def _underived(what: str, platform: Platform) -> str:
    name = platform.value
    return f"{what} are left out: nothing may be derived of {name}'s data (platforms.{name}.derived_data)"


def _lacks_vectors(part: AccountBundle) -> bool:
    if part.items and "content.0" not in part.vectors:
        return True
    return bool(part.account.bio.strip() or part.account.keywords) and "bio" not in part.vectors


def _labels_stand(given: GivenCreator, taxonomy: Taxonomy, notes: dict[str, None]) -> bool:
    """Whether the labels are taken as they are; else the creator is labelled like any other."""
    if given.primary_niche is None:
        return False
    fit = (
        given.primary_niche in taxonomy.niche_ids
        and taxonomy.parent_of.keys() >= set(given.secondary_niches)
        and (given.content_style is None or given.content_style in taxonomy.style_ids)
    )
    if not fit:
        notes["labels that the taxonomy does not have are left out"] = None
    return fit


def _labelled(founder: Creator, given: GivenCreator, taxonomy: Taxonomy, now: int) -> Creator:
    enrichment = Enrichment(
        method=IMPORTED, model="", prompt_version="", taxonomy_version=taxonomy.version, input_hash="", at=now
    )
    if given.enrichment is not None and given.enrichment.method in METHODS:
        enrichment = _enrichment(given.enrichment, now)
    return msgspec.structs.replace(
        founder,
        primary_niche=given.primary_niche,
        secondary_niches=given.secondary_niches[:3],
        content_style=given.content_style,
        llm_summary=given.llm_summary[:500],
        enrichment=enrichment,
    )


def _enrichment(said: Enrichment, now: int) -> Enrichment:
    """Without what is longer than anything that stands there."""
    return Enrichment(
        method=said.method,
        model=said.model[:MAX_ID_CHARS],
        prompt_version=said.prompt_version[:MAX_ID_CHARS],
        taxonomy_version=said.taxonomy_version[:MAX_ID_CHARS],
        input_hash=said.input_hash[:MAX_ID_CHARS],
        at=max(_past(said.at, now), 0),
        confidence=min(max(said.confidence, 0.0), 1.0),
        candidates=[(niche[:MAX_ID_CHARS], share) for niche, share in said.candidates[:MAX_CANDIDATES]],
    )


def _past(at: int, now: int) -> int:
    """Not stated: now. Nothing was read later than now."""
    return min(at or now, now)


def _url(text: str) -> str:
    return text if text.startswith(WEB) else ""
