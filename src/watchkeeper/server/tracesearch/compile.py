"""TraceQL conditions into SQL over the spans table. Values never enter the text."""

from __future__ import annotations

import re2

from watchkeeper.errors import QueryParseError
from watchkeeper.server.tracesearch.ast import (
    Combination,
    Comparison,
    Condition,
    Field,
    Logical,
    SpansetFilter,
    SpansetQuery,
    Value,
)

__all__ = ["Compiler", "Parameter", "pointer"]

Parameter = str | float | int | bool | bytes

_COLUMNS = {
    "name": "name",
    "status": "status_code",
    "statusMessage": "status_message",
    "kind": "kind",
    "duration": "(end_ns - start_ns)",
}
_SQL_OPS = {"=": "=", "!=": "<>", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_NUMERIC_INTRINSICS = ("status", "kind", "duration", "traceDuration")


def pointer(*names: str) -> str:
    """Return the JSON pointer (RFC 6901) to nested *names*."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


class Compiler:
    """Turns conditions into SQL text and named parameters.

    Attributes:
        parameters: The values, by name, of every text that this compiler returned.
    """

    def __init__(self, table: str) -> None:
        """Compile against *table*, an SQL fragment with the columns of ``spans``."""
        self._table = table
        self.parameters: dict[str, Parameter] = {}

    def bind(self, value: Parameter) -> str:
        """Keep *value* and return its placeholder."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    def traces(self, query: SpansetQuery, window: str) -> str:
        """Return SQL that yields ``trace_id, latest, matched`` of matching traces.

        Args:
            query: What to match.
            window: SQL condition on the spans' time; ``TRUE`` for none.
        """
        if isinstance(query, SpansetFilter):
            where = "TRUE" if query.condition is None else self.condition(query.condition)
            return (
                "SELECT trace_id, max(start_ns) AS latest, count(DISTINCT span_id) AS matched "
                f"FROM {self._table} WHERE {window} AND ({where}) GROUP BY trace_id"
            )
        return self._combine(query, window)

    def _combine(self, query: Combination, window: str) -> str:
        left, right = self.traces(query.left, window), self.traces(query.right, window)
        joined = f"(({left}) UNION ALL ({right}))"
        both = " HAVING count(*) = 2" if query.op == "&&" else ""
        return (
            "SELECT trace_id, max(latest) AS latest, CAST(sum(matched) AS BIGINT) AS matched "
            f"FROM {joined} GROUP BY trace_id{both}"
        )

    def condition(self, condition: Condition) -> str:
        """Return an SQL condition on one span."""
        if isinstance(condition, Logical):
            word = "AND" if condition.op == "&&" else "OR"
            return f"({self.condition(condition.left)} {word} {self.condition(condition.right)})"
        return self._comparison(condition)

    def _comparison(self, comparison: Comparison) -> str:
        field = comparison.field
        if field.scope == "intrinsic":
            return self._intrinsic(field.name, comparison.op, comparison.value)
        if field.scope in ("event", "link"):
            return self._nested(field, comparison.op, comparison.value)
        places = {
            "span": [("attributes", pointer(field.name))],
            "resource": [("resource", pointer("attributes", field.name))],
        }
        places["any"] = places["span"] + places["resource"]
        tests = [
            self._test(f"json_extract_string({column}, {self.bind(path)})", comparison)
            for column, path in places[field.scope]
        ]
        if comparison.value is None:
            return "(" + (" AND " if comparison.op == "=" else " OR ").join(tests) + ")"
        return "(" + " OR ".join(tests) + ")"

    def _test(self, text: str, comparison: Comparison) -> str:
        """Compare an extracted attribute, given as SQL that yields its text or NULL."""
        op, value = comparison.op, comparison.value
        if value is None:
            return f"{text} IS {'' if op == '=' else 'NOT '}NULL"
        if op in ("=~", "!~"):
            return self._regex(text, op, str(value))
        if isinstance(value, bool):
            return f"{text} {_SQL_OPS[op]} {self.bind('true' if value else 'false')}"
        if isinstance(value, (int, float)):
            return f"TRY_CAST({text} AS DOUBLE) {_SQL_OPS[op]} {self.bind(value)}"
        return f"{text} {_SQL_OPS[op]} {self.bind(value)}"

    def _regex(self, text: str, op: str, pattern: str) -> str:
        try:
            re2.compile(pattern)
        except re2.error as error:
            raise QueryParseError(
                f"regular expression does not compile: got {pattern!r} ({error}). "
                "Accepted: RE2 syntax. Next: correct the expression."
            ) from None
        matched = f"regexp_full_match({text}, {self.bind(pattern)}, 's')"
        return matched if op == "=~" else f"({text} IS NOT NULL AND NOT {matched})"

    def _intrinsic(self, name: str, op: str, value: Value) -> str:
        if name in ("trace:id", "span:id", "span:parentID"):
            column = {"trace:id": "trace_id", "span:id": "span_id"}.get(name, "parent_span_id")
            return self._test(f"lower(hex({column}))", Comparison(_ID, op, _lower(value)))
        if name in ("traceDuration", "rootName", "rootServiceName"):
            return self._trace_level(name, op, value)
        if name.startswith("instrumentation:"):
            key = name.partition(":")[2]
            text = f"json_extract_string(scope, {self.bind(pointer(key))})"
            return self._test(text, Comparison(_ID, op, value))
        return self._column(_COLUMNS[name], name, op, value)

    def _column(self, column: str, name: str, op: str, value: Value) -> str:
        numeric = name in _NUMERIC_INTRINSICS
        if value is None or numeric == isinstance(value, str) or isinstance(value, bool):
            accepted = "a number or duration" if numeric else "a quoted text"
            raise QueryParseError(
                f"{name} cannot be compared with this: got {value!r}. Accepted: {accepted}. "
                "Next: change the value."
            )
        if op in ("=~", "!~"):
            return self._regex(column, op, str(value))
        return f"{column} {_SQL_OPS[op]} {self.bind(value)}"

    def _trace_level(self, name: str, op: str, value: Value) -> str:
        if name == "traceDuration":
            test = self._column("max(end_ns) - min(start_ns)", name, op, value)
            return (
                f"trace_id IN (SELECT trace_id FROM {self._table} GROUP BY trace_id HAVING {test})"
            )
        test = self._column("name" if name == "rootName" else "service", name, op, value)
        return (
            f"trace_id IN (SELECT trace_id FROM {self._table} "
            f"WHERE parent_span_id IS NULL AND {test})"
        )

    def _nested(self, field: Field, op: str, value: Value) -> str:
        column = "events" if field.scope == "event" else "links"
        path = self.bind(pointer("attributes", field.name))
        test = self._test(f"json_extract_string(item, {path})", Comparison(field, op, value))
        if field == Field("event", "name"):
            named = self._test("json_extract_string(item, '/name')", Comparison(field, op, value))
            test = f"({test} OR {named})"
        items = f"json_extract({column}, '$[*]')"
        return f"len(list_filter({items}, lambda item: coalesce({test}, FALSE))) > 0"


_ID = Field("intrinsic", "id")


def _lower(value: Value) -> Value:
    return value.lower() if isinstance(value, str) else value
