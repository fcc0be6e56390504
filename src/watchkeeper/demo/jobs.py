"""Background jobs: ingestion, roll-up, digest and synchronisation, on huey."""

from __future__ import annotations

import itertools
import random
import threading
from datetime import UTC, datetime, timedelta

from huey import Huey, RedisHuey, SqliteHuey, crontab
from huey.api import Task
from openai import OpenAI
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from watchkeeper import agent_run, bind, get_logger, schedule
from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.ingest import ingest
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import Document, Usage, obey_faults, tune

__all__ = [
    "digest",
    "huey",
    "ingest_document",
    "keep_in_sync",
    "remind",
    "roll_up",
    "sync_customers",
]

_RETRIES = 2
_SYNC_S, _SYNC_GRACE_S = 6.0, 2.0
_IMPATIENT_TRIES = 40
"""Lines in a row that say the same; most of them are held back."""
_HOUSE_MODEL = "desk-mini-1"
"""A model that AgentDesk runs itself: no price list has it."""
_places = Places.from_environment()
_faults = FaultSwitch()
log = get_logger(__name__)


def _queue(places: Places) -> Huey:
    if places.redis_url:
        return RedisHuey("agentdesk", url=places.redis_url)
    return SqliteHuey("agentdesk", filename=str(places.base_dir / "queue.db"))


huey = _queue(_places)
_engine = create_engine(
    _places.sqlalchemy_url(asynchronous=False), pool_size=5, pool_logging_name="jobs"
)
_house = OpenAI(base_url=f"{_places.world_url}/openai/v1", api_key="demo", max_retries=2)
tune(_engine)
obey_faults(_engine, _faults)


def _dawdle() -> None:
    """Take seconds while the queue is meant to grow."""
    if _faults.strength("queue_backlog") > 0:
        threading.Event().wait(3.0)


@huey.task(retries=_RETRIES, retry_delay=1)  # type: ignore[untyped-decorator] # huey has no annotations
def ingest_document(number: int, uploaded_s: float) -> str:
    """Ingest one document, uploaded at *uploaded_s*, and return its new status."""
    _dawdle()
    with Session(_engine) as db:
        document = db.get(Document, number)
        if document is None:
            log.warning("document is gone", document=number)
            return "gone"
        waiting = int(huey.pending_count())
        with bind(tenant_id=document.tenant):
            document.status = ingest(
                db, document, _places.world_url, uploaded_s=uploaded_s, waiting=waiting
            )
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
    # No line says that this call is to be recorded: the client's integration does it.
    with agent_run("digest", tenant_id=tenant):
        _house.chat.completions.create(
            model=_HOUSE_MODEL,
            max_tokens=200,
            messages=[{"role": "user", "content": f"Say in a line what {count} documents mean."}],
        )
    log.info("digest written", documents=count)
    return int(count)


@huey.task()  # type: ignore[untyped-decorator] # likewise
def sync_customers(run: int) -> int:
    """Fetch the customers; every fourth run is slower than its schedule, every fourth fails."""
    if run % 4 == 1:
        threading.Event().wait(_SYNC_S + 1.0)
    if run % 4 == 3:
        for _ in range(_IMPATIENT_TRIES):
            log.warning("the customer database does not answer")
        raise ConnectionError("the customer database did not answer")
    return run


@huey.task()  # type: ignore[untyped-decorator] # likewise
def remind(run: int) -> int:
    """Remind somebody; never runs, since it expires a second before it is due: a mistake."""
    return run


def keep_in_sync() -> None:
    """Start the clock that queues `sync_customers`, and declare when it is due."""
    schedule("sync_customers", every_s=_SYNC_S, grace_s=_SYNC_GRACE_S)

    def tick() -> None:
        pause = threading.Event()
        for run in itertools.count():
            sync_customers(run)
            soon = datetime.now(UTC) + timedelta(seconds=1)
            remind.schedule(args=(run,), delay=2, expires=soon)
            pause.wait(_SYNC_S)

    threading.Thread(target=tick, name="sync-clock", daemon=True).start()
