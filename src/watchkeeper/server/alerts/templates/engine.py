"""Expands the templates of receivers.

Values are escaped for where they go: into HTML, or into Slack's markup, so that nothing in a label
acts. What the template's author wrote is left as it is: its text, and in Slack's markup also its
string constants; ``safeHtml`` lets a value through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal as OneOf

from watchkeeper.server.alerts.chat_text import disarmed, escaped
from watchkeeper.server.alerts.templates.data import Data, member, shown
from watchkeeper.server.alerts.templates.functions import FUNCTIONS, Safe
from watchkeeper.server.alerts.templates.gotime import Moment
from watchkeeper.server.alerts.templates.markup import Html
from watchkeeper.server.rules.template_functions import FunctionError, truth
from watchkeeper.server.rules.template_parser import (
    Block,
    Call,
    Dot,
    Field,
    Invoke,
    Jump,
    Literal,
    Method,
    Node,
    Operand,
    Pipe,
    TemplateError,
    Text,
    Variable,
)
from watchkeeper.vocabulary.limits import limit

__all__ = ["Target", "expanded"]

Target = OneOf["text", "slack", "chat", "html"]
"""Where the result goes."""

_CHATS = frozenset({"slack", "chat"})
_DEPTH_MAX = 50
_SLACK_MAX = 40_000


def expanded(
    nodes: Sequence[Node],
    defined: Mapping[str, Sequence[Node]],
    data: Data,
    target: Target,
) -> str:
    """Return what *nodes* say about *data*.

    Raises:
        TemplateError: A value, function or template is not there, or a limit is crossed.
    """
    expansion = _Expansion(defined, data, target)
    try:
        expansion.nodes(nodes, data)
    except FunctionError as error:
        raise TemplateError(str(error)) from None
    except _Jumped as jump:
        raise TemplateError(f"{{{{{jump.keyword}}}}} outside of a range") from None
    return "".join(expansion.parts)


class _Jumped(Exception):  # noqa: N818 - not an error
    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


class _Expansion:
    def __init__(self, defined: Mapping[str, Sequence[Node]], data: Data, target: Target) -> None:
        self.parts: list[str] = []
        self._defined = defined
        self._target = target
        self._now = data.now
        self._html = Html()
        self._scopes: list[dict[str, object]] = [{"": data}]
        self._depth = 0
        self._steps_left = limit("notification_template_steps_max")
        self._chars_left = limit("notification_template_chars_max")

    @property
    def now(self) -> Moment:
        return self._now

    def nodes(self, nodes: Sequence[Node], dot: object) -> None:
        for node in nodes:
            self._step()
            if isinstance(node, Text):
                self._put(self._html.markup(node.text) if self._target == "html" else node.text)
            elif isinstance(node, Block):
                self._scopes.append({})
                self._block(node, dot)
                self._scopes.pop()
            elif isinstance(node, Invoke):
                self._invoke(node, dot)
            elif isinstance(node, Jump):
                raise _Jumped(node.keyword)
            else:
                value = self._pipe(node, dot)
                if not node.names:
                    self._put(self._written(value))

    def _put(self, text: str) -> None:
        self._chars_left -= len(text)
        if self._chars_left < 0:
            raise TemplateError(
                f"the text is longer than {limit('notification_template_chars_max')} characters"
            )
        self.parts.append(text)

    def _written(self, value: object) -> str:
        if self._target == "html":
            if isinstance(value, Safe):
                return self._html.markup(str(value))
            # html/template prints nothing for a missing value.
            return self._html.value("" if value is None else shown(value))
        return shown(value) if self._target == "text" else self._chat(value)

    def _chat(self, value: object) -> str:
        if isinstance(value, Safe):
            return str(value)
        return (
            escaped(shown(value), _SLACK_MAX) if self._target == "slack" else disarmed(shown(value))
        )

    def _step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise TemplateError(
                f"it takes more than {limit('notification_template_steps_max')} steps"
            )

    def _invoke(self, node: Invoke, dot: object) -> None:
        body = self._defined.get(node.name)
        if body is None:
            raise TemplateError(f"template {node.name!r} is not defined")
        value = self._pipe(node.pipe, dot) if node.pipe else None
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise TemplateError(f"template {node.name!r} is called too deeply")
        scopes, self._scopes = self._scopes, [{"": value}]
        self.nodes(body, value)
        self._scopes = scopes
        self._depth -= 1

    def _block(self, block: Block, dot: object) -> None:
        if block.keyword == "range":
            self._range(block, dot)
            return
        value = self._pipe(block.pipe, dot)
        if _true(value):
            self.nodes(block.body, value if block.keyword == "with" else dot)
        else:
            self.nodes(block.otherwise, dot)

    def _range(self, block: Block, dot: object) -> None:
        value = self._pipe(Pipe(block.pipe.commands), dot)
        items: list[tuple[object, object]]
        if isinstance(value, Mapping):
            items = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list):
            items = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            items = [(number, number) for number in range(min(value, self._steps_left + 1))]
        elif value is None:
            items = []
        else:
            raise TemplateError(f"range can't iterate over {shown(value)[:100]}")
        names = block.pipe.names
        for key, item in items:
            self._step()
            self._scopes.append(dict(zip(names[-2:], (key, item)[-len(names) :], strict=False)))
            depth = len(self._scopes)
            try:
                self.nodes(block.body, item)
            except _Jumped as jump:
                del self._scopes[depth:]
                if jump.keyword == "break":
                    break
            finally:
                self._scopes.pop()
        if not items:
            self.nodes(block.otherwise, dot)

    def _pipe(self, pipe: Pipe, dot: object) -> object:
        value: object = None
        for position, command in enumerate(pipe.commands):
            self._step()
            if isinstance(command, Call):
                arguments = [self._operand(operand, dot) for operand in command.arguments]
                value = self._call(command.function, arguments + ([value] if position else []))
            else:
                value = self._operand(command, dot)
        for name in pipe.names:
            scope = self._scopes[-1]
            if not pipe.declares:
                scope = next(known for known in reversed(self._scopes) if name in known)
            scope[name] = value
        return value

    def _operand(self, operand: Operand, dot: object) -> object:
        match operand:
            case Literal(value):
                safe = isinstance(value, str) and self._target in _CHATS
                return Safe(value) if safe else value
            case Variable(name):
                return next(known[name] for known in reversed(self._scopes) if name in known)
            case Method(Field(base, name), given):
                arguments = [self._operand(one, dot) for one in given]
                return member(self._operand(base, dot), name, arguments)
            case Field(base, name):
                return member(self._operand(base, dot), name, [])
            case Pipe():
                return self._pipe(operand, dot)
            case Call(function, _):
                return self._call(function, [])
            case Dot():
                return dot

    def _call(self, name: str, arguments: list[object]) -> object:
        safe = self._target in _CHATS and bool(arguments) and isinstance(arguments[0], Safe)
        if safe and name in {"printf", "print", "println"}:
            arguments = [
                one if isinstance(one, (Safe, int, float)) else self._chat(one) for one in arguments
            ]
        elif safe:
            safe = all(isinstance(one, Safe) for one in arguments)
        try:
            value = FUNCTIONS[name](self, *arguments)
        except TypeError:
            raise TemplateError(f"{name} does not take {len(arguments)} such arguments") from None
        if isinstance(value, str) and (safe or (name == "html" and self._target == "html")):
            return Safe(value)
        return value


def _true(value: object) -> bool:
    return truth(value) and not (isinstance(value, (list, dict)) and not value)
