"""AgentDesk's tables (SQLAlchemy 2)."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import Engine, ForeignKey, String, Text, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from watchkeeper.demo.faults import FaultSwitch

__all__ = ["Base", "Chunk", "Document", "Usage", "User", "obey_faults", "tune"]


class Base(DeclarativeBase):
    """The declarative base."""


class User(Base):
    """Somebody who can sign in."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    provider: Mapped[str] = mapped_column(String(20), default="local")


class Document(Base):
    """A document somebody uploaded."""

    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20), default="queued")


class Chunk(Base):
    """A piece of a document, ready to be searched."""

    __tablename__ = "chunks"
    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), index=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True)
    text: Mapped[str] = mapped_column(Text)
    embedding: Mapped[str] = mapped_column(Text)


class Usage(Base):
    """Tokens that a run of an agent took."""

    __tablename__ = "usage"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True)
    agent: Mapped[str] = mapped_column(String(40))
    tokens: Mapped[int] = mapped_column(default=0)


def tune(engine: Engine) -> None:
    """Let SQLite readers and the writer work side by side."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()


def obey_faults(engine: Engine, faults: FaultSwitch) -> None:
    """Refuse a share of connections while the database is meant to be down."""

    @event.listens_for(engine, "checkout")
    def refuse(_connection: object, _record: object, _proxy: object) -> None:
        if random.random() < faults.strength("database_down"):
            reason = ConnectionRefusedError("connection refused")
            raise OperationalError("checkout", None, reason)
