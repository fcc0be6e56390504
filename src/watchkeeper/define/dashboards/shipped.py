"""Every dashboard that ships with watchkeeper, in the order in which they are listed."""

from __future__ import annotations

from watchkeeper.define.dashboards.agents import AGENTS
from watchkeeper.define.dashboards.authentication import AUTHENTICATION
from watchkeeper.define.dashboards.overview import OVERVIEW
from watchkeeper.define.dashboards.work import WORK
from watchkeeper.define.model import Dashboard

__all__ = ["DASHBOARDS"]

DASHBOARDS: tuple[Dashboard, ...] = (OVERVIEW, AGENTS, WORK, AUTHENTICATION)
