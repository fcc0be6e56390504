"""PromQL expressions as a small frozen tree, and what can be read off it.

The evaluator, the rule room and the dashboard checks know these classes and no parser library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from watchkeeper.server.series import Matcher, MatchOp

__all__ = [
    "Aggregate",
    "At",
    "Binary",
    "Call",
    "Card",
    "Expr",
    "Matching",
    "MatrixSelector",
    "MetricUse",
    "Number",
    "Paren",
    "Selector",
    "String",
    "Subquery",
    "Unary",
    "children",
    "names",
    "unwrap",
    "walk",
]


@dataclass(frozen=True, slots=True)
class At:
    """The ``@`` modifier."""

    kind: str
    """``time``, ``start`` or ``end``."""
    t_ms: int = 0
    """Unix milliseconds when the kind is ``time``."""


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number."""

    value: float


@dataclass(frozen=True, slots=True)
class String:
    """A literal string."""

    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector selector; the metric name is a matcher on ``__name__``."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: At | None = None

    @property
    def name(self) -> str:
        """The metric name, empty unless one is demanded by equality."""
        for matcher in self.matchers:
            if matcher.name == "__name__" and matcher.op is MatchOp.EQUAL:
                return matcher.value
        return ""


@dataclass(frozen=True, slots=True)
class MatrixSelector:
    """A range vector selector."""

    selector: Selector
    range_ms: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """An instant expression evaluated over a range."""

    expr: Expr
    range_ms: int
    step_ms: int | None
    offset_ms: int = 0
    at: At | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    name: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation over an instant vector."""

    op: str
    expr: Expr
    param: Expr | None
    labels: tuple[str, ...]
    without: bool
    """Whether *labels* are the ones left out; otherwise they are the ones kept."""


class Card(Enum):
    """Which side of a vector match may have several series in one group."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, slots=True)
class Matching:
    """How the series of two vectors find each other."""

    card: Card
    labels: tuple[str, ...]
    on: bool
    """Whether only *labels* are compared; otherwise all but them."""
    include: tuple[str, ...]
    """Labels taken over from the "one" side."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operation; *matching* is set between two vectors."""

    op: str
    lhs: Expr
    rhs: Expr
    matching: Matching
    return_bool: bool


@dataclass(frozen=True, slots=True)
class Unary:
    """Negation."""

    expr: Expr


@dataclass(frozen=True, slots=True)
class Paren:
    """An expression in parentheses."""

    expr: Expr


Expr = (
    Number
    | String
    | Selector
    | MatrixSelector
    | Subquery
    | Call
    | Aggregate
    | Binary
    | Unary
    | Paren
)


@dataclass(frozen=True, slots=True)
class MetricUse:
    """A metric that an expression reads, and the label names it uses on it."""

    name: str
    labels: frozenset[str]


def unwrap(expr: Expr) -> Expr:
    """Return *expr* without the parentheses around it."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct sub-expressions, in written order."""
    match expr:
        case Subquery() | Unary() | Paren():
            return (expr.expr,)
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case Binary():
            return (expr.lhs, expr.rhs)
        case MatrixSelector():
            return (expr.selector,)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield *expr* and everything below it, parents first."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))


_MADE_BY = frozenset({"label_replace", "label_join"})


def names(expr: Expr) -> frozenset[MetricUse]:
    """Return every metric that *expr* selects by name, with the labels it uses on it.

    A label counts where it is matched, grouped by, matched on, or included from that side.
    Labels that the expression makes itself (``label_replace``, ``count_values``) do not count
    above the place where they are made. Selectors without a fixed metric name are left out.
    """
    found: dict[str, set[str]] = {}
    pending: list[tuple[Expr, frozenset[str]]] = [(expr, frozenset())]
    while pending:
        node, used = pending.pop()
        if isinstance(node, Selector):
            matched = {m.name for m in node.matchers if m.name != "__name__"}
            if node.name:
                found.setdefault(node.name, set()).update(matched | used)
            continue
        pending.extend(_below(node, used))
    return frozenset(MetricUse(name, frozenset(labels)) for name, labels in found.items())


def _below(node: Expr, used: frozenset[str]) -> list[tuple[Expr, frozenset[str]]]:
    """Pair each child of *node* with the labels that *node* and its parents use on it."""
    if isinstance(node, Aggregate):
        inner = used & frozenset(node.labels) if not node.without else used
        inner |= frozenset(node.labels)
        if node.op == "count_values" and isinstance(node.param, String):
            inner -= {node.param.value}
        return [(node.expr, inner)]
    if isinstance(node, Binary):
        shared = frozenset(node.matching.labels)
        many = used - frozenset(node.matching.include)
        one = shared | frozenset(node.matching.include)
        if node.matching.card is Card.MANY_TO_ONE:
            return [(node.lhs, many | shared), (node.rhs, one)]
        if node.matching.card is Card.ONE_TO_MANY:
            return [(node.lhs, one), (node.rhs, many | shared)]
        return [(node.lhs, used | shared), (node.rhs, used | shared)]
    if isinstance(node, Call) and node.name in _MADE_BY:
        texts = [arg.value for arg in node.args[1:] if isinstance(arg, String)]
        read = texts[2:3] if node.name == "label_replace" else texts[2:]
        return [(node.args[0], (used - set(texts[:1])) | frozenset(read))]
    if isinstance(node, Call) and node.name.startswith("histogram_"):
        return [(arg, used | {"le"}) for arg in node.args]
    return [(child, used) for child in children(node)]
