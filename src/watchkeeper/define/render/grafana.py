"""A dashboard as Grafana's dashboard JSON, through grafana-foundation-sdk."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from watchkeeper.define.model import Dashboard, Panel, Row, Threshold, Unit, Variable

__all__ = ["dashboard_json"]

_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_UNITS = {
    Unit.REQUESTS_PER_S: "reqps",
    Unit.OPS: "ops",
    Unit.SECONDS: "s",
    Unit.BYTES: "bytes",
    Unit.RATIO: "percentunit",
    Unit.COUNT: "short",
    Unit.USD: "currencyUSD",
    Unit.TOKENS: "suffix: tokens",
}
_COLOURS = {"warning": "orange", "critical": "red"}
_GRID = 2
"""Grafana's grid has 24 columns, ours 12."""
_HEIGHT, _HEIGHT_STAT = 8, 4

_AnyPanel = timeseries.Panel | stat.Panel | table.Panel | barchart.Panel


def dashboard_json(board: Dashboard) -> str:
    """Return *board* as JSON text that Grafana imports or provisions.

    The data source is a variable, so the file fits any Grafana; exemplars are asked for, so that
    dots on a latency chart lead to traces once the data source names a trace source.
    """
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"watchkeeper-{board.uid}")
        .description(board.description)
        .tags(["watchkeeper"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for variable in board.variables:
        built = built.with_variable(_variable(variable))
    y, number = 0, 1
    for row in board.rows:
        y, number = _row(built, row, y, number)
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _row(built: dashboard.Dashboard, row: Row, y: int, number: int) -> tuple[int, int]:
    """Add *row* from the line *y* on; return the next free line and panel number."""
    header = dashboard.Row(f"{row.title}: {row.question}")
    built.with_row(header.grid_pos(model.GridPos(h=1, w=24, x=0, y=y)).id(number))
    x, y, number, line = 0, y + 1, number + 1, 0
    for panel in row.panels:
        height = _HEIGHT_STAT if panel.kind == "stat" else _HEIGHT
        width = panel.width * _GRID
        if x + width > 24:
            x, y, line = 0, y + line, 0
        built.with_panel(
            _panel(panel).id(number).grid_pos(model.GridPos(h=height, w=width, x=x, y=y))
        )
        x, number, line = x + width, number + 1, max(line, height)
    return y + line, number


def _variable(variable: Variable) -> dashboard.QueryVariable:
    query: dict[str, object] = {"query": variable.query, "refId": "StandardVariableQuery"}
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .query(query)
        .datasource(_SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.multi)
        .include_all(variable.all)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _panel(panel: Panel) -> _AnyPanel:
    built: _AnyPanel
    if panel.kind == "timeseries":
        built = _chart(panel)
    elif panel.kind == "stat":
        built = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        built = table.Panel() if panel.kind == "table" else barchart.Panel()
    built.title(panel.title).description(panel.description).datasource(_SOURCE)
    built.unit(_UNITS[panel.unit]).thresholds(_thresholds(panel.thresholds))
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    for position, query in enumerate(panel.queries):
        target = (
            prometheus.Dataquery()
            .expr(query.expr)
            .ref_id(chr(ord("A") + position))
            .legend_format(query.legend)
            .datasource(_SOURCE)
        )
        target = target.instant() if query.instant else target.range()
        if panel.kind == "table":
            target.format(PromQueryFormat.TABLE)
        built.with_target(target.exemplar("_bucket" in query.expr and not query.instant))
    return built


def _chart(panel: Panel) -> timeseries.Panel:
    chart = (
        timeseries.Panel()
        .fill_opacity(20 if panel.stacked else 5)
        .line_width(1)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.TABLE)
            .placement(common_model.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["lastNotNull", "max", "mean"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    if panel.stacked:
        chart.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL))
    if panel.thresholds:
        chart.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_model.GraphTresholdsStyleMode.DASHED)
        )
    return chart


def _thresholds(thresholds: tuple[Threshold, ...]) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=None, color="green")]
    steps += [model.Threshold(value=t.value, color=_COLOURS[t.severity]) for t in thresholds]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
