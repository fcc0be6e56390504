"""Where AgentDesk's processes find each other, read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses and files that the application and the worker share."""

    base_dir: Path
    world_url: str
    app_url: str
    database_url: str
    """SQLAlchemy URL without a driver: ``sqlite:///…`` or ``postgresql://…``."""
    redis_url: str
    """Empty: the queue is a SQLite file."""

    @classmethod
    def from_environment(cls) -> Places:
        """Read AGENTDESK_*, DATABASE_URL and REDIS_URL."""
        base = Path(os.environ.get("AGENTDESK_BASE_DIR", "."))
        return cls(
            base_dir=base,
            world_url=os.environ.get("AGENTDESK_WORLD_URL", "http://127.0.0.1:8500"),
            app_url=os.environ.get("AGENTDESK_APP_URL", "http://127.0.0.1:8501"),
            database_url=os.environ.get("DATABASE_URL", f"sqlite:///{base / 'agentdesk.db'}"),
            redis_url=os.environ.get("REDIS_URL", ""),
        )

    def sqlalchemy_url(self, *, asynchronous: bool) -> str:
        """Return the database's URL with the driver to use."""
        scheme, rest = self.database_url.split("://", 1)
        if scheme.startswith("sqlite"):
            return f"sqlite+{'aiosqlite' if asynchronous else 'pysqlite'}://{rest}"
        return f"postgresql+psycopg://{rest}"
