"""What the daemon depends on and how far each part is; `/readyz` and the status commands read it."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.supervisor import StageEntry
from proto.api import Counts, DependencyStatus, ReadyAnswer
from stores.catalog import Catalog
from stores.schedule import Schedule
from stores.work import Work

KEYWORD_SEARCH = "keyword_search"
MODEL = "model"
LLM = "llm"
ENDPOINT = "embedding_endpoint"
DISK, MEMORY = "disk", "memory"


class Readiness:
    """Named dependencies; keyword search alone decides whether the daemon is ready to serve."""

    def __init__(self) -> None:
        self.dependencies: dict[str, DependencyStatus] = {}
        self.stopping = False
        """Whether the daemon is about to end: who balances loads is to send it nobody more."""
        self.set(KEYWORD_SEARCH, "loading", loaded=0.0)
        self.set(MODEL, "loading", loaded=0.0)

    def set(self, name: str, state: str, *, detail: str = "", loaded: float = 1.0) -> None:
        self.dependencies[name] = DependencyStatus(state=state, detail=detail, loaded=round(loaded, 3))

    def set_endpoint(self, trouble: str) -> None:
        """What is wrong with the endpoint that embeds, empty when it answers again. May be called from any thread."""
        self.set(ENDPOINT, "down" if trouble else "ok", detail=trouble)

    def set_answering(self, name: str, *, answering: bool) -> None:
        """A platform or language model that answers nothing degrades the daemon until it does."""
        state = self.dependencies[name].state
        if answering and state == "down":
            self.set(name, "ok")
        elif not answering and state == "ok":
            self.set(name, "down", detail="no call is answered; it is asked again now and then")

    @property
    def serving(self) -> bool:
        return self.dependencies[KEYWORD_SEARCH].state == "ok"

    @property
    def status(self) -> str:
        if self.stopping:
            return "stopping"
        if not self.serving:
            return "starting"
        return "ok" if all(part.state in ("ok", "off") for part in self.dependencies.values()) else "degraded"


async def ready_answer(
    readiness: Readiness,
    board: Mapping[str, StageEntry],
    catalog: Catalog,
    work: Work,
    schedule: Schedule,
    drained: str,
) -> ReadyAnswer:
    """From kept counters only, so it answers at once however busy the daemon is. ``drained``: why it takes nothing in,
    empty while it does."""
    counts = await catalog.counts()
    pending = await work.pending() + await schedule.pending()
    return ReadyAnswer(
        status="degraded" if drained and readiness.status == "ok" else readiness.status,
        counts=Counts(
            creators=counts.creators,
            accounts=counts.accounts,
            content_items=counts.content_items,
            work_pending=pending,
        ),
        dependencies=dict(readiness.dependencies),
        stages=[entry.status() for entry in board.values()],
        drained=drained,
    )
