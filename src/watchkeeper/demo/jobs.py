"""Background jobs: ingestion, roll-up and digest, on huey."""

from __future__ import annotations

import random
import threading

from huey import Huey, RedisHuey, SqliteHuey, crontab
from huey.api import Task
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from watchkeeper import get_logger
from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.ingest import ingest
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import Document, Usage, obey_faults, tune

__all__ = ["digest", "huey", "ingest_document", "roll_up"]

_RETRIES = 2
_places = Places.from_environment()
_faults = FaultSwitch()
log = get_logger(__name__)


def _queue(places: Places) -> Huey:
    if places.redis_url:
        return RedisHuey("agentdesk", url=places.redis_url)
    return SqliteHuey("agentdesk", filename=str(places.base_dir / "queue.db"))


huey = _queue(_places)
_engine = create_engine(_places.sqlalchemy_url(asynchronous=False), pool_size=5)
tune(_engine)
obey_faults(_engine, _faults)


def _dawdle() -> None:
    """Take seconds while the queue is meant to grow."""
    if _faults.strength("queue_backlog") > 0:
        threading.Event().wait(3.0)


@huey.task(retries=_RETRIES, retry_delay=1)  # type: ignore[untyped-decorator] # huey has no annotations
def ingest_document(number: int) -> str:
    """Ingest one document and return its new status."""
    _dawdle()
    with Session(_engine) as db:
        document = db.get(Document, number)
        if document is None:
            log.warning("document is gone", document=number)
            return "gone"
        document.status = ingest(db, document, _places.world_url)
        db.commit()
        if document.status == "indexed":
            digest(document.tenant, number)
        return document.status


@huey.periodic_task(crontab(minute="*"))  # type: ignore[untyped-decorator] # likewise
def roll_up() -> int:
    """Add up what agents used; fails now and then, as such jobs do."""
    _dawdle()
    with Session(_engine) as db:
        total = db.scalar(select(func.coalesce(func.sum(Usage.tokens), 0))) or 0
    if random.random() < 0.1:
        raise RuntimeError("the roll-up found numbers that do not add up")
    log.info("usage added up", tokens=total)
    return int(total)


@huey.task(retries=_RETRIES, retry_delay=1, context=True)  # type: ignore[untyped-decorator] # likewise
def digest(tenant: str, number: int, task: Task) -> int:
    """Count a tenant's documents for its digest, once document *number* is in.

    Fails as such jobs do: at the first try for every tenth document, at every try for every
    fiftieth.
    """
    _dawdle()
    if number % 50 == 0 or (number % 10 == 0 and task.retries == _RETRIES):
        raise ConnectionError("the mail server did not answer")
    with Session(_engine) as db:
        count = db.scalar(select(func.count()).where(Document.tenant == tenant)) or 0
    log.info("digest written", tenant=tenant, documents=count)
    return int(count)
