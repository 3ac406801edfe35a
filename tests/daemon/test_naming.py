"""An account is found by whatever names it, and by nothing that names several."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from daemon.naming import find_account
from proto.errors import Malformed
from proto.ids import AccountKey, Platform
from proto.records import Creator, CreatorAccount
from stores.catalog import get_account, put_account
from stores.env import Environment, Txn
from tests.founding import found_creator

CHANNEL = "UC" + "a" * 21 + "A"


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    opened = Environment(tmp_path, map_size_bytes=1 << 28)
    accounts = [
        (Platform.YOUTUBE, CHANNEL, "@kai"),
        (Platform.INSTAGRAM, "17840000000000001", "kai"),
        (Platform.INSTAGRAM, "17840000000000002", "axel.music"),
    ]
    for platform, user_id, handle in accounts:
        account = CreatorAccount(platform=platform, platform_user_id=user_id, handle=handle, fetched_at=1)
        opened.write_now(partial(put_account, account=account))
    return opened


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (CHANNEL, f"youtube:{CHANNEL}"),
        (f" youtube:{CHANNEL} ", f"youtube:{CHANNEL}"),
        ("instagram:17840000000000001", "instagram:17840000000000001"),
        ("instagram:kai", "instagram:17840000000000001"),
        ("youtube:kai", f"youtube:{CHANNEL}"),
        ("https://www.youtube.com/@kai", f"youtube:{CHANNEL}"),
        ("https://instagram.com/kai", "instagram:17840000000000001"),
        ("@axel.music", "instagram:17840000000000002"),
        ("axel.music", "instagram:17840000000000002"),
    ],
)
def test_keys_ids_urls_and_handles_lead_to_the_account(env: Environment, text: str, key: AccountKey) -> None:
    with env.snapshot() as txn:
        found = find_account(txn, text)
    assert found is not None
    assert found.key == key
    env.close()


def test_a_handle_of_two_platforms_is_not_guessed(env: Environment) -> None:
    with env.snapshot() as txn, pytest.raises(Malformed, match=f"youtube:{CHANNEL} and instagram:17840000000000001"):
        find_account(txn, "@kai")
    env.close()


def test_a_creators_id_is_answered_with_its_accounts(env: Environment) -> None:
    key = AccountKey("instagram:17840000000000002")

    def found(txn: Txn) -> Creator:
        account = get_account(txn, key)
        assert account is not None
        return found_creator(txn, account, 1)

    creator = env.write_now(found)
    with env.snapshot() as txn, pytest.raises(Malformed, match=key):
        find_account(txn, str(creator.creator_id))
    with env.snapshot() as txn:
        assert find_account(txn, "4711") is None
    env.close()
