"""The application that costs are measured on, and a caller that asks it in process.

Of twenty requests sixteen read an item (one SQLAlchemy SELECT on SQLite, one log line, ten JSON
fields), three run an agent (two simulated LLM calls and one query) and one asks for the health.
The application is the same in every variant: what a variant records of agent runs and LLM calls by
hand it passes as `Manual`; the rest is up to what instruments FastAPI, SQLAlchemy and logging.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

__all__ = ["CYCLE", "Call", "Caller", "Manual", "Nothing", "Watchkeeper", "build"]

MODEL = "gpt-4o-mini"
PROVIDER = "openai"
ITEMS = 100
LOG = logging.getLogger("shop")


class Call(Protocol):
    """One LLM call of a variant."""

    def record_usage(self, input_tokens: int, output_tokens: int) -> None:
        """Take the tokens of the answer."""
        ...


class Manual(Protocol):
    """What a variant records by hand."""

    def agent_run(self, name: str) -> AbstractContextManager[object]:
        """Surround the run of an agent."""
        ...

    def llm_call(self, provider: str, model: str) -> AbstractContextManager[Call]:
        """Surround one call of an LLM."""
        ...


class _NoCall:
    def record_usage(self, input_tokens: int, output_tokens: int) -> None:
        """Do nothing."""


class Nothing:
    """The bare application: nothing is recorded."""

    @contextmanager
    def agent_run(self, name: str) -> Iterator[None]:  # noqa: ARG002 - the interface
        """Surround nothing."""
        yield

    @contextmanager
    def llm_call(self, provider: str, model: str) -> Iterator[Call]:  # noqa: ARG002 - as above
        """Surround nothing."""
        yield _NoCall()


class Watchkeeper:
    """Our own functions, as the documentation shows them."""

    def __init__(self) -> None:
        import watchkeeper

        self._door = watchkeeper

    def agent_run(self, name: str) -> AbstractContextManager[object]:
        """Record the run of an agent."""
        return self._door.agent_run(name)

    def llm_call(self, provider: str, model: str) -> AbstractContextManager[Call]:
        """Record one call of an LLM."""
        return self._door.llm_call(provider=provider, model=model)


class _Base(DeclarativeBase):
    pass


class _Item(_Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[float]
    stock: Mapped[int]


class Item(BaseModel):
    """Ten fields of an item."""

    id: int
    name: str
    price: float
    stock: int
    currency: str = "EUR"
    weight_g: int = 250
    colour: str = "blue"
    tags: list[str] = ["a", "b"]
    rating: float = 4.5
    available: bool = True


class Question(BaseModel):
    """What the agent is asked."""

    text: str


class Answer(BaseModel):
    """What the agent says."""

    text: str
    tokens: int


def build(database: Path | str, manual: Manual) -> FastAPI:
    """Return the application over a fresh SQLite file at *database*."""
    engine = create_engine(f"sqlite:///{database}")
    _Base.metadata.create_all(engine)
    with Session(engine) as db:
        rows = (_Item(id=n, name=f"item {n}", price=n * 1.5, stock=n) for n in range(1, ITEMS + 1))
        db.add_all(rows)
        db.commit()
    app = FastAPI()

    # Annotations of endpoints are read when they are registered: no postponed ones in this module.
    async def session() -> AsyncIterator[Session]:
        with Session(engine) as db:
            yield db

    database_session = Annotated[Session, Depends(session)]

    @app.get("/items/{item_id}")
    async def read_item(item_id: int, db: database_session) -> Item:
        row = db.scalars(select(_Item).where(_Item.id == item_id)).one()
        LOG.info("item read", extra={"item_id": item_id})
        return Item(id=row.id, name=row.name, price=row.price, stock=row.stock)

    @app.post("/agent")
    async def agent(question: Question, db: database_session) -> Answer:
        with manual.agent_run("desk"):
            plan = ask(question.text)
            row = db.scalars(select(_Item).where(_Item.id == 1 + len(plan) % ITEMS)).one()
            text = ask(f"{plan} {row.name}")
        return Answer(text=text, tokens=240)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    def ask(prompt: str) -> str:
        with manual.llm_call(PROVIDER, MODEL) as call:
            answer = prompt[::-1]
            call.record_usage(100, 20)
        return answer

    app.router.on_shutdown.append(engine.dispose)
    return app


class _Ask(NamedTuple):
    method: str
    path: str
    body: bytes = b""


_READ = tuple(_Ask("GET", f"/items/{n}") for n in range(1, 17))
_AGENT = _Ask("POST", "/agent", b'{"text":"where is my parcel?"}')
CYCLE: tuple[_Ask, ...] = (
    *_READ[:5], _AGENT, *_READ[5:10], _AGENT, *_READ[10:15], _AGENT, _READ[15],
    _Ask("GET", "/healthz"),
)  # fmt: skip
"""The twenty requests."""


class Caller:
    """Asks an ASGI application without a server, a socket or a client library.

    Args:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests = 0

    async def cycle(self) -> None:
        """Send the twenty requests of `CYCLE`, one after the other.

        Raises:
            RuntimeError: An answer is not a 200.
        """
        for ask in CYCLE:
            status = await self.ask(ask)
            if status != 200:
                raise RuntimeError(f"{ask.method} {ask.path} was answered {status}")

    async def ask(self, ask: _Ask) -> int:
        """Send one request; returns the status of the answer."""
        self.requests += 1
        messages: list[Any] = []
        headers = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench/1"), (b"accept", b"*/*")]
        if ask.body:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(ask.body)).encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": ask.method,
            "scheme": "http",
            "path": ask.path,
            "raw_path": ask.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
            "state": {},
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": ask.body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        status: int = messages[0]["status"]
        return status
