"""Reads Prometheus rule files strictly.

Rules as in Prometheus' documentation, "Defining recording rules" and "Alerting rules", and in
its package model/rulefmt: unknown fields, repeated groups and impossible combinations are errors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode, read
from watchkeeper.errors import QueryError, RuleFileError
from watchkeeper.server.promql.parser import parse
from watchkeeper.server.rules.model import Group, LoadedRule
from watchkeeper.server.rules.template_parser import TemplateError, check_template
from watchkeeper.server.rules.treereader import TreeReader, parse_duration_ms
from watchkeeper.vocabulary.limits import limit

__all__ = ["Names", "load_file", "load_text", "parse_duration_ms", "read_text"]

Names = Literal["utf8", "legacy"]

_LEGACY_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_LEGACY_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_GROUP_FIELDS = {"name", "interval", "query_offset", "limit", "labels", "rules"}
_RULE_FIELDS = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


def load_file(path: Path, *, names: Names = "utf8") -> tuple[Group, ...]:
    """Return the groups of the rule file at *path*.

    Args:
        path: The file; it is the groups' ``file``.
        names: ``utf8`` accepts any UTF-8 label name, as Prometheus 3 does; ``legacy`` accepts
            letters, digits and underscores only.

    Raises:
        RuleFileError: The file cannot be read, is larger than ``rule_file_bytes_max``, or is not
            a valid rule file; names the line where there is one.
    """
    return load_text(read_text(path), str(path), names=names)


def read_text(path: Path) -> str:
    """Return the text of the file at *path*.

    Raises:
        RuleFileError: It cannot be read, is larger than ``rule_file_bytes_max``, or is not UTF-8.
    """
    most = limit("rule_file_bytes_max")
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise RuleFileError(
            f"{path}: cannot be read: {error.strerror}. Accepted: a readable file. "
            "Next: check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise RuleFileError(
            f"{path}: not UTF-8 at byte {error.start}. Accepted: UTF-8. Next: convert the file."
        ) from error
    if len(raw) > most:
        raise RuleFileError(
            f"{path}: larger than {most} bytes. Accepted: up to rule_file_bytes_max. "
            "Next: split the file."
        )
    return text


def load_text(text: str, path: str, *, names: Names = "utf8") -> tuple[Group, ...]:
    """Return the groups in *text*; *path* is shown in errors and is the groups' ``file``.

    Raises:
        RuleFileError: As `load_file`.
    """
    return _Loader(path, names).groups(read(text, path))


class _Loader(TreeReader):
    next_step = "correct the file; rules loaded before stay in force"

    def __init__(self, path: str, names: Names) -> None:
        super().__init__(path)
        self._names = names
        self._rules = 0
        self._rules_max = limit("rules_max")

    def groups(self, root: Node | None) -> tuple[Group, ...]:
        if root is None or (isinstance(root, ScalarNode) and root.null):
            return ()
        fields = self.mapping(root, "the file", {"groups"})
        groups = [self._group(node) for node in self.sequence(fields.get("groups"), "groups")]
        seen: set[str] = set()
        for group, line in groups:
            if group.name in seen:
                self.refuse(line, f"group {group.name!r} is given twice", "distinct group names")
            seen.add(group.name)
        return tuple(group for group, _ in groups)

    def _group(self, node: Node) -> tuple[Group, int]:
        fields = self.mapping(node, "a group", _GROUP_FIELDS)
        name = self.text(fields, "name")
        if not name:
            self.refuse(node.line, "a group has no name", "a name that is not empty")
        limit_text = self.text(fields, "limit") or "0"
        if not re.fullmatch(r"-?\d{1,9}", limit_text):
            self.refuse(node.line, f"limit is {limit_text!r}", "a whole number")
        shared = self._labels(fields, "labels")
        rules = [self._rule(rule, shared) for rule in self.sequence(fields.get("rules"), "rules")]
        group = Group(
            name=name,
            file=self.path,
            interval_ms=self.duration(fields, "interval"),
            rules=tuple(rules),
            limit=max(0, int(limit_text)),
            query_offset_ms=self.duration(fields, "query_offset"),
        )
        return group, node.line

    def _rule(self, node: Node, shared: dict[str, str]) -> LoadedRule:
        fields = self.mapping(node, "a rule", _RULE_FIELDS)
        self._rules += 1
        if self._rules > self._rules_max:
            self.refuse(node.line, "the file has too many rules", f"{self._rules_max} rules")
        record, alert = self.text(fields, "record"), self.text(fields, "alert")
        if bool(record) == bool(alert):
            self.refuse(
                node.line, "a rule has both or neither of record and alert", "exactly one of them"
            )
        if record:
            self._recording(fields, record)
        rule = LoadedRule(
            name=record or alert,
            expr=self._expr(fields),
            alerting=bool(alert),
            labels=tuple({**shared, **self._labels(fields, "labels")}.items()),
            annotations=tuple(self._labels(fields, "annotations").items()),
            for_ms=self.duration(fields, "for"),
            keep_firing_for_ms=self.duration(fields, "keep_firing_for"),
            line=node.line,
        )
        if alert:
            self._templates(rule)
        return rule

    def _recording(self, fields: MappingNode, record: str) -> None:
        for name in ("for", "keep_firing_for", "annotations"):
            if self._given(fields, name):
                self.refuse(fields.line, f"a recording rule has {name!r}", "it in alerts only")
        pattern = _LEGACY_METRIC if self._names == "legacy" else None
        if (pattern and not pattern.fullmatch(record)) or "{" in record or "}" in record:
            self.refuse(fields.line, f"record is {record[:80]!r}", "the name of a metric")

    def _given(self, fields: MappingNode, name: str) -> bool:
        node = fields.get(name)
        if isinstance(node, ScalarNode):
            return not node.null and node.text not in {"0", "0s"}
        return node is not None and node.size > 1

    def _expr(self, fields: MappingNode) -> str:
        node = fields.get("expr")
        expr = self.text(fields, "expr")
        if not expr:
            self.refuse(fields.line, "a rule has no expr", "a PromQL expression")
        try:
            parse(expr)
        except QueryError as error:
            line = node.line if node is not None else fields.line
            raise RuleFileError(f"{self.path}:{line}: expr cannot be evaluated: {error}") from None
        return expr

    def _templates(self, rule: LoadedRule) -> None:
        for name, text in (*rule.labels, *rule.annotations):
            try:
                check_template(text)
            except TemplateError as error:
                self.refuse(
                    rule.line, f"the template of {name!r} fails: {error}",
                    "Prometheus' template language, without define and template",
                )  # fmt: skip

    def _labels(self, fields: MappingNode, field: str) -> dict[str, str]:
        node = fields.get(field)
        if node is None or (isinstance(node, ScalarNode) and node.null):
            return {}
        if not isinstance(node, MappingNode):
            self.refuse(node.line, f"{field} is not a mapping", "names and texts")
        found = {}
        for name, value in node.entries:
            valid = name if self._names == "utf8" else _LEGACY_LABEL.fullmatch(name)
            if not valid or (field == "labels" and name == "__name__"):
                self.refuse(value.line, f"{field} has the name {name[:80]!r}", "a label name")
            if not isinstance(value, ScalarNode):
                self.refuse(value.line, f"{field}.{name[:80]} is not a text", "a text")
            found[name] = "" if value.null else value.text
        return found
