"""What every Work store must do; ``work_env`` gives the backend's transactions."""

from __future__ import annotations

from proto.ids import AccountKey
from proto.messages import AccountUpserted, AnyWork, Stage
from stores.env import Environment
from stores.work import Work, complete, decode_message, enqueue

ALICE = AccountUpserted(account_key=AccountKey("youtube:UCalice"))


class WorkConformance:
    async def _enqueue(self, env: Environment, message: AnyWork) -> AnyWork:
        return await env.write(lambda txn: enqueue(txn, message, 5))

    async def test_ten_changes_to_one_entity_are_one_item(self, env: Environment, work: Work) -> None:
        sealed = [await self._enqueue(env, ALICE) for _ in range(10)]
        assert await work.pending() == 1
        assert await work.current(sealed) == [sealed[-1]]

    async def test_completing_clears_only_the_latest_revision(self, env: Environment, work: Work) -> None:
        first = await self._enqueue(env, ALICE)
        second = await self._enqueue(env, ALICE)
        assert not await env.write(lambda txn: complete(txn, first))
        assert await work.pending() == 1
        assert await env.write(lambda txn: complete(txn, second))
        assert await work.pending() == 0
        assert not await env.write(lambda txn: complete(txn, second))

    async def test_leftovers_can_be_sent_again(self, env: Environment, work: Work) -> None:
        sealed = await self._enqueue(env, ALICE)
        ((key, item),) = await work.after(b"", 10)
        assert decode_message(item.message) == sealed
        assert await work.after(key, 10) == []
        assert await work.begin_attempt([key], 9, max_attempts=2) == ([sealed], 0)

    async def test_an_item_that_cannot_be_read_hides_none_behind_it(self, env: Environment, work: Work) -> None:
        await self._enqueue(env, ALICE)
        ((key, _),) = await work.after(b"", 10)
        before = key[:1] + b"\0" + key[2:]
        await env.write(lambda txn: txn.put("work", before, b"\x01\x90"))
        assert before < key
        assert [found for found, _ in await work.after(b"", 1)] == [key]
        assert await work.begin_attempt([before], 9, max_attempts=2) == ([], 0)
        assert [database for database, _ in env.damaged] == ["work"]

    async def test_what_keeps_failing_becomes_a_dead_letter(self, env: Environment, work: Work) -> None:
        sealed = await self._enqueue(env, ALICE)
        ((key, _),) = await work.after(b"", 10)
        for _ in range(2):
            await work.begin_attempt([key], 9, max_attempts=2)
        assert await work.begin_attempt([key], 9, max_attempts=2) == ([], 1)
        assert await work.pending() == 0
        (letter,) = await work.dead_letters()
        assert (letter.stage, letter.entity, letter.reason) == (Stage.EMBEDDER.value, ALICE.entity, "retries")
        assert decode_message(letter.payload) == sealed
