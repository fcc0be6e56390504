"""The tools that agents may call."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from watchkeeper.demo.app.documents import search_chunks
from watchkeeper.demo.tables import Document

__all__ = ["TOOLS", "calculate", "use"]

TOOLS: dict[str, dict[str, Any]] = {
    "search_documents": {"query": {"type": "string"}},
    "calculator": {"expression": {"type": "string"}},
    "fetch_customer": {"customer": {"type": "string"}},
}
"""Name of each tool and the properties of its arguments, as JSON schema."""

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculate(expression: str) -> float:
    """Return the value of an arithmetic expression.

    Raises:
        ValueError: It holds something else than numbers and ``+ - * /``.
    """

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise ValueError(f"not arithmetic: got {expression!r}. Accepted: numbers and + - * /.")

    return value(ast.parse(expression, mode="eval").body)


async def use(name: str, arguments: dict[str, Any], db: AsyncSession, tenant: str) -> str:
    """Call a tool and return its result as text.

    Raises:
        LookupError: The customer is not known.
        ValueError: The arguments make no sense.
    """
    if name == "calculator":
        return str(calculate(str(arguments["expression"])))
    if name == "search_documents":
        found = await search_chunks(db, tenant, str(arguments["query"]))
        return "\n".join(found) or "nothing found"
    if name == "fetch_customer":
        customer = str(arguments["customer"])
        if customer == "dev":
            raise LookupError(f"no such customer: {customer}")
        count = await db.scalar(select(func.count()).where(Document.tenant == tenant))
        return f"{customer} has {count} documents"
    raise ValueError(f"no such tool: {name}")
