"""What every TextIndex must do; put another backend under it by overriding ``text_index``."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proto.ids import CreatorId, Row
from stores.ports import Suggestion, TextDocument, TextHits, TextIndex

ODD_TEXTS = (
    "",
    "   ",
    '"',
    "a AND (",
    "name:x OR *",
    "-",
    "@",
    "\0",
    "🎮",
    "a" * 5_000,
    "w " * 500,
    "\u0301",
    "\udcff",
    "x\udcff",
)


def document(row: int, name: str = "", **fields: object) -> TextDocument:
    known: dict[str, object] = {"row": Row(row), "creator_id": CreatorId(1_000 + row), "name": name or f"creator{row}"}
    return TextDocument(**(known | fields))  # type: ignore[arg-type]


async def taken_in(index: TextIndex, documents: Sequence[TextDocument], checkpoint: int = 1) -> None:
    await index.upsert(documents)
    await index.commit(checkpoint)


async def rows_of(index: TextIndex, text: str, limit: int = 100) -> list[int]:
    return [int(row) for row in (await index.query(text, limit)).rows]


class TextIndexConformance:
    async def test_a_commit_makes_changes_visible(self, text_index: TextIndex) -> None:
        await text_index.upsert([document(0, "Alice")])
        assert await rows_of(text_index, "alice") == []
        await text_index.commit(7)
        assert await rows_of(text_index, "alice") == [0]
        assert text_index.checkpoint == 7
        assert await text_index.count() == 1

    @pytest.mark.parametrize("field", ["name", "bio", "niche", "summary", "titles"])
    async def test_a_word_of_any_text_finds_the_creator(self, text_index: TextIndex, field: str) -> None:
        await taken_in(text_index, [document(0, **{field: "some woodworking here"}), document(1)])
        assert await rows_of(text_index, "woodworking") == [0]

    async def test_every_account_name_and_handle_is_exact(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(3, "Alice", names=("Alice Cooks",), handles=("alice.cooks", "UC77"))])
        for text in ("ALICE", " alice  cooks ", "@Alice.Cooks", "uc77"):
            hits = await text_index.query(text, 10)
            assert (hits.rows.tolist(), hits.exact.tolist(), hits.scores.tolist()) == ([3], [True], [1.0]), text

    async def test_a_marked_handle_is_nobodys_name(self, text_index: TextIndex) -> None:
        await taken_in(
            text_index, [document(0, "Jess"), document(1, "Jess", handles=("jesslaw",)), document(2, handles=("jess",))]
        )
        plain, marked, wide = [await text_index.query(text, 10) for text in ("Jess", "@Jess", " \uff20jess")]
        assert plain.exact.tolist() == [True, True, True]
        assert marked.rows[marked.exact].tolist() == wide.rows[wide.exact].tolist() == [2]
        assert marked.rows[0] == 2
        only_a_name = await text_index.query("@creator2", 10)
        assert only_a_name.rows[only_a_name.exact].tolist() == [2]

    async def test_an_exact_name_leads_and_scores_fall_from_there(self, text_index: TextIndex) -> None:
        often = document(0, "Nova Games Nova", bio="nova " * 20, niche="nova", summary="nova nova")
        await taken_in(text_index, [often, document(1, "Nova"), document(2, "Else", bio="a nova once")])
        hits = await text_index.query("nova", 10)
        assert hits.rows.tolist() == [1, 0, 2]
        assert hits.exact.tolist() == [True, False, False]
        assert 1.0 == hits.scores[0] > hits.scores[1] > hits.scores[2] > 0

    async def test_an_upsert_replaces(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, "Before"), document(1, "Bystander")])
        await taken_in(text_index, [document(0, "Between"), document(0, "After")])
        assert [await rows_of(text_index, text) for text in ("before", "between", "after")] == [[], [], [0]]
        assert await text_index.count() == 2

    async def test_the_same_document_again_changes_nothing(self, text_index: TextIndex) -> None:
        for checkpoint in (1, 2, 3):
            await taken_in(text_index, [document(0, "Alice")], checkpoint)
        assert await rows_of(text_index, "alice") == [0]
        assert await text_index.count() == 1

    async def test_a_delete_deletes_and_may_be_repeated(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(row, "Twin") for row in (1, 11)])
        for _ in range(2):
            await text_index.delete([Row(1), Row(99)])
            await text_index.commit(2)
        assert await rows_of(text_index, "twin") == [11]
        assert await text_index.count() == 1

    async def test_the_limit_bounds_the_rows_and_the_total_counts_all(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(row, "Same Name") for row in range(30)])
        hits = await text_index.query("same name", 10)
        assert (len(hits.rows), len(hits.scores), len(hits.exact), hits.total) == (10, 10, 10, 30)
        assert len(await rows_of(text_index, "same", limit=10)) == 10

    async def test_creators_with_every_word_come_before_those_with_some(self, text_index: TextIndex) -> None:
        await taken_in(
            text_index,
            [
                document(0, bio="vegan " * 9),
                document(1, bio="berlin"),
                document(2, bio="a vegan cook who lives in berlin with long words around it"),
            ],
        )
        hits = await text_index.query("vegan berlin", 10)
        assert int(hits.rows[0]) == 2
        assert set(hits.rows.tolist()) == {0, 1, 2}
        assert hits.words == ("vegan", "berlin")

    @pytest.mark.parametrize(
        ("stored", "asked"),
        [("POKÉMON Go", "pokemon"), ("Große Straße", "GROSSE"), ("日本料理の時間", "料理"), ("Ｆｕｌｌ", "full")],
    )
    async def test_case_accents_width_and_missing_spaces_do_not_matter(
        self, text_index: TextIndex, stored: str, asked: str
    ) -> None:
        await taken_in(text_index, [document(0, stored), document(1, "other")])
        assert await rows_of(text_index, asked) == [0]

    async def test_the_last_word_may_be_unfinished(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, "Kitchen Stories"), document(1, "Kit Other", handles=("storm",))])
        assert (await rows_of(text_index, "kitchen sto"))[0] == 0
        assert set(await rows_of(text_index, "sto")) == {0, 1}

    async def test_a_name_begun_without_its_spaces_and_signs_is_found(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, "T-Series Bhakti Sagar"), document(1, "Other")])
        assert await rows_of(text_index, "tseries") == [0]
        assert await rows_of(text_index, "tseriesbha") == [0]

    async def test_a_phrase_is_words_in_a_row(self, text_index: TextIndex) -> None:
        documents = [
            document(0, bio="street food in Lima"),
            document(1, bio="food of the street"),
            document(2, bio="food\nstreet"),
        ]
        await taken_in(text_index, documents)
        assert await rows_of(text_index, '"street food"') == [0]
        assert set(await rows_of(text_index, "street food")) == {0, 1, 2}

    async def test_what_is_excluded_is_not_found(self, text_index: TextIndex) -> None:
        documents = [
            document(0, bio="vegan cooking"),
            document(1, bio="cooking"),
            document(2, bio="street food cooking"),
        ]
        await taken_in(text_index, documents)
        assert set(await rows_of(text_index, "cooking -vegan")) == {1, 2}
        assert set(await rows_of(text_index, 'cooking -"street food"')) == {0, 1}
        assert set(await rows_of(text_index, "-vegan")) == {1, 2}
        assert (await text_index.query("cooking -vegan -street", 10)).total == 1

    async def test_a_name_with_a_minus_is_found_by_itself(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, "Ann -Coach"), document(1, "Ann Coach"), document(2, "Ann Other")])
        hits = await text_index.query("ann  -coach", 10)
        assert hits.rows[hits.exact].tolist() == [0]
        assert set(hits.rows.tolist()) == {0, 2}

    @pytest.mark.parametrize(
        ("stored", "typed"),
        [
            ("Gordon Ramsay", "gordn ramsay"),
            ("Gordon Ramsay", "ogrdon ramsay"),
            ("Gordon Ramsay", "gordonramsay"),
            ("PewDiePie", "pewdeipie"),
            ("Егор Крид", "егор криг"),
            ("ヒカキンゲームズ", "ヒカキソゲームズ"),
            ("백종원의 요리비책", "백종완의 요리비책"),
            ("हिन्दी कॉमेडी", "हिनदी कॉमेडी"),
            ("قناة الجزيرة", "قناة الجزيره"),
        ],
    )
    async def test_a_typo_is_forgiven(self, text_index: TextIndex, stored: str, typed: str) -> None:
        await taken_in(text_index, [document(0, stored), document(1, "Somebody Else")])
        assert (await rows_of(text_index, typed))[:1] == [0]

    async def test_who_is_meant_by_a_typo_stands_behind_who_wrote_so(self, text_index: TextIndex) -> None:
        documents = [
            document(0, "Minecraft"),
            document(1, bio="a mincraft once, said in many long words about something else"),
        ]
        await taken_in(text_index, documents)
        assert await rows_of(text_index, "mincraft") == [1, 0]

    async def test_a_short_word_is_what_it_is(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, "Lame"), document(1, "Gaming")])
        assert await rows_of(text_index, "game") == []

    async def test_a_plural_is_its_singular(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, bio="vegan recipes"), document(1, bio="one recipe")])
        assert set(await rows_of(text_index, "recipe")) == set(await rows_of(text_index, "recipes")) == {0, 1}

    async def test_a_korean_noun_is_found_with_its_particle(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, bio="요리를 게임처럼 합니다"), document(1, bio="여행")])
        assert await rows_of(text_index, "게임 요리") == [0]

    async def test_a_question_ranks_by_how_much_of_it_is_answered(self, text_index: TextIndex) -> None:
        asked = "which creators explain how heat moves through composite slabs of metal"
        await taken_in(
            text_index,
            [
                document(0, bio="heat in composite slabs"),
                document(1, bio="composite art"),
                document(2, bio="slabs of metal"),
            ],
        )
        assert (await rows_of(text_index, asked))[0] == 0

    async def test_suggestions_begin_as_typed(self, text_index: TextIndex) -> None:
        await taken_in(
            text_index,
            [
                document(0, "Gordon Ramsay", handles=("gordongram",), prominence=0.9),
                document(1, "Flash Gordon", prominence=1.0),
                document(2, "Gordo", prominence=0.1),
                document(3, "Else", handles=("gordonia.x",), prominence=0.2),
                document(4, "Żółw Ninja", prominence=0.2),
                document(5, "日本料理", prominence=0.2),
            ],
        )

        def shown(found: Sequence[Suggestion]) -> list[tuple[int, str, str]]:
            return [(one.row, one.text, one.kind) for one in found]

        assert shown(await text_index.suggest("Gordo", 10)) == [
            (2, "Gordo", "name"),
            (0, "Gordon Ramsay", "name"),
            (3, "gordonia.x", "handle"),
            (1, "Flash Gordon", "name"),
        ]
        assert shown(await text_index.suggest("gordon r", 10)) == [(0, "Gordon Ramsay", "name")]
        assert shown(await text_index.suggest("g", 1)) == [(0, "Gordon Ramsay", "name")]
        assert shown(await text_index.suggest("zołw", 10)) == [(4, "Żółw Ninja", "name")]
        assert shown(await text_index.suggest("日本", 10)) == [(5, "日本料理", "name")]
        for odd in ODD_TEXTS:
            assert await text_index.suggest(odd, 10) == [] or odd.strip()

    @pytest.mark.parametrize("text", ODD_TEXTS)
    async def test_odd_input_is_answered(self, text_index: TextIndex, text: str) -> None:
        await taken_in(text_index, [document(0, "Alice")])
        hits: TextHits = await text_index.query(text, 10)
        assert len(hits.rows) == len(hits.scores) == len(hits.exact) == hits.total == 0

    async def test_a_name_of_signs_alone_is_found_by_itself(self, text_index: TextIndex) -> None:
        await taken_in(text_index, [document(0, "🎮🔥"), document(1, "🎮")])
        hits = await text_index.query("🎮", 10)
        assert (hits.rows.tolist(), hits.exact.tolist(), hits.total) == ([1], [True], 1)

    async def test_an_empty_index_answers(self, text_index: TextIndex) -> None:
        assert await rows_of(text_index, "anything") == []
        assert await text_index.count() == 0
