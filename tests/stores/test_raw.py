from __future__ import annotations

import pytest

from proto.ids import AccountKey, Platform
from proto.records import JobKind, RawPage
from stores.env import Environment
from stores.raw import RawStore, raw_id_of, seal
from tests.stores.conformance.raw_suite import RawConformance, page


class TestLmdbRaw(RawConformance):
    @pytest.fixture
    def raw(self, env: Environment) -> RawStore:
        return RawStore(env)


def test_the_id_follows_from_what_was_said_and_about_whom() -> None:
    different = [
        page(b"{}"),
        page(b"{ }"),
        page(b"{}", platform=Platform.INSTAGRAM),
        page(b"{}", kind=JobKind.UPLOADS),
        page(b"{}", account_key=AccountKey("youtube:UCbob")),
    ]
    assert len({raw_id_of(one) for one in different}) == len(different)


@pytest.mark.parametrize("other", [page(fetched_at=9), page(request="GET /else"), page(listed_before=3)])
def test_the_id_does_not_follow_from_when_or_how_it_was_asked(other: RawPage) -> None:
    assert raw_id_of(other) == raw_id_of(page())


def test_bodies_are_compressed() -> None:
    _, body_zstd = seal(page(b'{"title": "the same again"}' * 1_000))
    assert len(body_zstd) < 1_000
