"""Checks a JSON value against a schema of an OpenAPI description, by default Prometheus'."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from tests.corpora import corpus

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
    "number": (int, float),
}  # fmt: skip


@cache
def _schemas() -> dict[str, Any]:
    path = corpus("prometheus-api") / "openapi_3.1_golden.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = loaded["components"]["schemas"]
    return found


def problems(value: object, name: str) -> list[str]:
    """Return where *value* departs from the schema called *name*; nothing if it fits."""
    return problems_of(value, {"$ref": f"#/components/schemas/{name}"}, _schemas())


def problems_of(value: object, schema: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    """Return where *value* departs from *schema*, whose references are to *schemas*."""
    return _problems(value, schema, "$", schemas)


def _problems(value: Any, schema: dict[str, Any], at: str, known: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        return _problems(value, known[schema["$ref"].rsplit("/", 1)[-1]], at, known)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            tried = [_problems(value, option, at, known) for option in schema[key]]
            return [] if [] in tried else min(tried, key=len)
    found: list[str] = []
    kind = schema.get("type")
    if kind and not isinstance(value, _TYPES[kind]):
        return [f"{at}: {type(value).__name__} instead of {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} not among {schema['enum']}")
    if isinstance(value, dict):
        found += _object(value, schema, at, known)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            found += _problems(item, schema["items"], f"{at}[{number}]", known)
    return found


def _object(
    value: dict[str, Any], schema: dict[str, Any], at: str, schemas: dict[str, Any]
) -> list[str]:
    found = [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
    known = schema.get("properties", {})
    extra = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in known:
            found += _problems(item, known[name], f"{at}.{name}", schemas)
        elif extra is False:
            found.append(f"{at}: unknown {name}")
        elif isinstance(extra, dict):
            found += _problems(item, extra, f"{at}.{name}", schemas)
    return found
