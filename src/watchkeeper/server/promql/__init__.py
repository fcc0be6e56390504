"""PromQL: parser, evaluator and engine."""

from watchkeeper.server.promql.ast import MetricUse, names
from watchkeeper.server.promql.budget import (
    QueryCanceledError,
    QueryExecutionError,
    QueryShapeError,
    QueryTimeoutError,
)
from watchkeeper.server.promql.engine import Engine, Options, Result
from watchkeeper.server.promql.parser import parse

__all__ = [
    "Engine",
    "MetricUse",
    "Options",
    "QueryCanceledError",
    "QueryExecutionError",
    "QueryShapeError",
    "QueryTimeoutError",
    "Result",
    "names",
    "parse",
]
