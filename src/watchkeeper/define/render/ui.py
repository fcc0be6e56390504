"""A dashboard as the JSON that our own UI reads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from watchkeeper.define.model import Dashboard, Panel

__all__ = ["dashboard_json", "listing_json"]


def listing_json(dashboards: tuple[Dashboard, ...]) -> dict[str, Any]:
    """Return the list of *dashboards*: uid, title and description of each."""
    return {
        "dashboards": [
            {"uid": board.uid, "title": board.title, "description": board.description}
            for board in dashboards
        ]
    }


def dashboard_json(board: Dashboard) -> dict[str, Any]:
    """Return *board* with its variables, rows and panels, ready to be encoded as JSON."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "refresh_s": board.refresh_s,
        "variables": [asdict(variable) for variable in board.variables],
        "rows": [
            {
                "title": row.title,
                "question": row.question,
                "panels": [_panel(panel) for panel in row.panels],
            }
            for row in board.rows
        ],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        **asdict(panel),
        "unit": panel.unit.value,
        "queries": [asdict(query) for query in panel.queries],
        "thresholds": [asdict(threshold) for threshold in panel.thresholds],
    }
