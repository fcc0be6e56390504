"""The ``global`` section and the receivers, what a receiver leaves open filled in from ``global``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.define.yamltree import MappingNode, Node, ScalarNode
from watchkeeper.server.alerts.config.fields import HTTP, HTTP_FIELD, SENT, SLACK_API, TLS
from watchkeeper.server.alerts.config.foreign import FOREIGN
from watchkeeper.server.alerts.config.model import Integration, Receiver, Secret
from watchkeeper.server.alerts.config.tables import PLACEHOLDER, Block, Field, Reader, Table
from watchkeeper.server.alerts.templates.store import TemplateError, check_text

__all__ = ["KINDS", "Found", "read_global", "read_receivers"]

KINDS: dict[str, Table] = {**SENT, **FOREIGN}
"""Every kind of receiver that is read; those of `SENT` are sent to."""

_TEXT = Field("text", "")
_SECRET = Field("secret")
_FILE = Field("file", "")

_GLOBAL = Table(
    "global",
    {
        "resolve_timeout": Field("duration", 300_000), "http_config": HTTP_FIELD,
        "jira_api_url": Field("url"),
        "smtp_from": _TEXT, "smtp_hello": Field("text", "localhost"),
        "smtp_smarthost": Field("host_port", ""), "smtp_auth_username": _TEXT,
        "smtp_auth_password": _SECRET, "smtp_auth_password_file": _FILE,
        "smtp_auth_secret": _SECRET, "smtp_auth_secret_file": _FILE, "smtp_auth_identity": _TEXT,
        "smtp_require_tls": Field("bool", default=True),
        "smtp_tls_config": Field("table", table=TLS),
        "smtp_force_implicit_tls": Field("bool"),
        "slack_api_url": Field("secret_url"), "slack_api_url_file": _FILE,
        "slack_app_token": _SECRET, "slack_app_token_file": _FILE,
        "slack_app_url": Field("url", SLACK_API),
        "pagerduty_url": Field("url", "https://events.pagerduty.com/v2/enqueue"),
        "opsgenie_api_url": Field("url", "https://api.opsgenie.com/"),
        "opsgenie_api_key": _SECRET, "opsgenie_api_key_file": _FILE,
        "wechat_api_url": Field("url", "https://qyapi.weixin.qq.com/cgi-bin/"),
        "wechat_api_secret": _SECRET, "wechat_api_secret_file": _FILE,
        "wechat_api_corp_id": _TEXT,
        "victorops_api_url": Field(
            "url", "https://alert.victorops.com/integrations/generic/20131114/alert/"),
        "victorops_api_key": _SECRET, "victorops_api_key_file": _FILE,
        "telegram_api_url": Field("url", "https://api.telegram.org"),
        "telegram_bot_token": _SECRET, "telegram_bot_token_file": _FILE,
        "webex_api_url": Field("url", "https://webexapis.com/v1/messages"),
        "rocketchat_api_url": Field("url", "https://open.rocket.chat/"),
        "rocketchat_token": _SECRET, "rocketchat_token_file": _FILE,
        "rocketchat_token_id": _SECRET, "rocketchat_token_id_file": _FILE,
        "mattermost_webhook_url": Field("secret_url"), "mattermost_webhook_url_file": _FILE,
    },
    exclusive=(
        ("slack_app_token", "slack_app_token_file"), ("slack_api_url", "slack_api_url_file"),
        ("opsgenie_api_key", "opsgenie_api_key_file"),
        ("victorops_api_key", "victorops_api_key_file"),
        ("telegram_bot_token", "telegram_bot_token_file"),
        ("smtp_auth_password", "smtp_auth_password_file"),
        ("smtp_auth_secret", "smtp_auth_secret_file"),
        ("rocketchat_token", "rocketchat_token_file"),
        ("rocketchat_token_id", "rocketchat_token_id_file"),
        ("wechat_api_secret", "wechat_api_secret_file"),
        ("mattermost_webhook_url", "mattermost_webhook_url_file"),
    ),
)  # fmt: skip

_FILLED: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "email": (
        ("smarthost", "smtp_smarthost", True), ("from", "smtp_from", True),
        ("hello", "smtp_hello", False), ("auth_username", "smtp_auth_username", False),
        ("auth_password", "smtp_auth_password", False),
        ("auth_secret", "smtp_auth_secret", False),
        ("auth_identity", "smtp_auth_identity", False),
        ("tls_config", "smtp_tls_config", False),
    ),
    "pagerduty": (("url", "pagerduty_url", True),),
    "opsgenie": (("api_url", "opsgenie_api_url", True), ("api_key", "opsgenie_api_key", True)),
    "wechat": (
        ("api_url", "wechat_api_url", True), ("api_secret", "wechat_api_secret", True),
        ("corp_id", "wechat_api_corp_id", True),
    ),
    "victorops": (
        ("api_url", "victorops_api_url", True), ("api_key", "victorops_api_key", True)
    ),
    "telegram": (
        ("api_url", "telegram_api_url", False), ("bot_token", "telegram_bot_token", True)
    ),
    "webex": (("api_url", "webex_api_url", True),),
    "jira": (("api_url", "jira_api_url", True),),
    "rocketchat": (
        ("api_url", "rocketchat_api_url", False), ("token_id", "rocketchat_token_id", True),
        ("token", "rocketchat_token", True),
    ),
    "mattermost": (("webhook_url", "mattermost_webhook_url", True),),
}  # fmt: skip
"""By kind: a field, where in ``global`` its value comes from, and whether it must have one."""

_SECTIONS = {"http_config", "tls_config", "basic_auth", "authorization"}
_NOT_DONE = {
    "slack": {"callback_id", "mrkdwn_in", "short_fields"},
    "pagerduty": {"service_key"},
    "http_config": {"oauth2", "no_proxy", "proxy_connect_header"},
    "basic_auth": {"username_file"},
    "tls_config": {"cert", "key", "server_name", "max_version"},
}
"""By kind or section, the options that senders do not do, beside secret managers' ``…_ref``."""


@dataclass(slots=True)
class Found:
    """What was read, with what this server does not do."""

    receivers: dict[str, Receiver] = field(default_factory=dict)
    unsupported: list[tuple[int, str]] = field(default_factory=list)
    """Lines and what is not supported there."""
    own: list[tuple[int, str]] = field(default_factory=list)
    """Lines and what there is ours alone: Alertmanager refuses it."""


def read_global(reader: Reader, node: Node | None) -> Block:
    """Return the ``global`` section, defaults filled in.

    Raises:
        ConfigFileError: It is not what Alertmanager accepts.
    """
    if node is None or (isinstance(node, ScalarNode) and node.null):
        node = MappingNode((), 1, 1)
    found = reader.table(node, _GLOBAL)
    if found["http_config"] is None:
        found.values["http_config"] = reader.table(MappingNode((), 1, 1), HTTP).values
    # The old way to use a bot token was its address here and the token in each http_config.
    if found["slack_app_token"] and found["slack_api_url"]:
        old_way = found["slack_api_url"] == Secret(found["slack_app_url"] or "")
        if not old_way:
            reader.refuse(
                found.line("slack_api_url"), "global gives both a Slack token and a Slack webhook",
                "one of slack_app_token and slack_api_url, or their _file",
            )  # fmt: skip
    return found


def read_receivers(reader: Reader, nodes: tuple[Node, ...], settings: Block) -> Found:
    """Return the receivers in *nodes*.

    Args:
        reader: Of the file.
        nodes: The items of ``receivers``.
        settings: What `read_global` returned.

    Raises:
        ConfigFileError: One is not what Alertmanager accepts.
    """
    found = Found()
    lists = {f"{kind}_configs": kind for kind in KINDS}
    accepted = Table(
        "a receiver",
        {"name": _TEXT, "labels": Field("labels", {}),
         **dict.fromkeys(lists, Field("nodes", ()))},
        required=(("name",),),
    )  # fmt: skip
    for node in nodes:
        block = reader.table(node, accepted)
        name = block["name"]
        if name in found.receivers:
            reader.refuse(
                block.line(), f"the receiver {name[:80]!r} is given twice", "distinct names"
            )
        if block["labels"].get("name", name) != name:
            reader.refuse(
                block.line("labels"), "the receiver's label name is not its name",
                "the same, or no such label",
            )  # fmt: skip
        if block["labels"]:
            found.unsupported.append((block.line("labels"), "labels of a receiver"))
        integrations: list[Integration] = []
        for field_name, kind in lists.items():
            for index, item in enumerate(block[field_name]):
                read = _integration(reader, item, kind, settings)
                _note(found, item, kind, read.values, field_name)
                integrations.append(_as_integration(kind, index, read.values))
        found.receivers[name] = Receiver(name, tuple(integrations))
    return found


def _integration(reader: Reader, node: Node, kind: str, settings: Block) -> Block:
    if isinstance(node, ScalarNode) and node.null:
        reader.refuse(node.line, f"{KINDS[kind].what} is empty", "a mapping of its fields")
    block = reader.table(node, KINDS[kind])
    values = block.values
    own_http = values.get("http_config")
    if "http_config" in values and own_http is None:
        values["http_config"] = settings["http_config"]
    _fill(reader, block, kind, settings)
    if kind == "slack":
        _fill_slack(reader, block, own_http, settings)
    if kind == "pagerduty" and not values["source"]:
        values["source"] = values["client"] or ""
    return block


def _fill(reader: Reader, block: Block, kind: str, settings: Block) -> None:
    values = block.values
    for name, source, needed in _FILLED.get(kind, ()):
        if not values[name]:
            values[name] = settings[source]
        if needed and not values[name]:
            reader.refuse(
                block.line(), f"{KINDS[kind].what} lacks {name}, and global lacks {source}",
                "one of them",
            )  # fmt: skip
    if kind == "email":
        for name in ("require_tls", "force_implicit_tls"):
            if values[name] is None:
                values[name] = settings[f"smtp_{name}"]


def _fill_slack(
    reader: Reader, block: Block, own_http: Mapping[str, Any] | None, settings: Block
) -> None:
    """Decide between bot token and webhook as Alertmanager does: the receiver's own comes first."""
    values = block.values
    values["app_url"] = values["app_url"] or settings["slack_app_url"]
    if not values["app_url"]:
        reader.refuse(block.line(), "no address of Slack's API is set", "app_url or slack_app_url")
    authorized = own_http is not None and own_http["authorization"] is not None
    if not values["api_url"] and not values["app_token"] and not authorized:
        values["app_token"] = settings["slack_app_token"]
    if values["app_token"]:
        if values["http_config"]["authorization"] is not None:
            reader.refuse(
                block.line(), "a Slack receiver has both a bot token and http authorization",
                "one of app_token and http_config.authorization",
            )  # fmt: skip
        values["api_url"] = Secret()
        return
    values["api_url"] = values["api_url"] or settings["slack_api_url"]
    if not values["api_url"]:
        reader.refuse(
            block.line(), "a Slack receiver has neither webhook nor bot token",
            "api_url or app_token, or slack_api_url or slack_app_token in global, or their _file",
        )  # fmt: skip
    if values["update_message"] and values["api_url"] != Secret(SLACK_API):
        reader.refuse(
            block.line("update_message"), "update_message is set for a webhook",
            f"a bot token: app_token, or the api_url {SLACK_API}",
        )  # fmt: skip


def _note(found: Found, node: Node, kind: str, values: Mapping[str, Any], field_name: str) -> None:
    """Note what of a receiver this server, or Alertmanager, does not know."""
    if kind not in SENT:
        found.unsupported.append((node.line, field_name))
        return
    if kind == "apprise":
        found.own.append((node.line, field_name))
    missing = _not_done(values, kind)
    if kind == "slack" and not all(action["url"] for action in values["actions"]):
        missing.append("actions without a url")
    missing += _bad_templates(values)
    for path in missing:
        found.unsupported.append((node.line, f"{field_name}: {path}"))


def _not_done(values: Mapping[str, Any], section: str, prefix: str = "") -> list[str]:
    """Return the options given in *values* that no sender of ours does."""
    found = []
    for name, value in values.items():
        path = prefix + name
        if name.endswith("_ref") or name in _NOT_DONE.get(section, ()):
            if value:
                found.append(path)
        elif value == Secret(PLACEHOLDER):
            found.append(f"{path} is the placeholder {PLACEHOLDER}, not a secret")
        elif isinstance(value, Mapping) and name in _SECTIONS:
            found += _not_done(value, name, f"{path}.")
    return found


def _bad_templates(value: Any, path: str = "") -> list[str]:
    """Return where in *value* a template stands that the senders' engine does not know."""
    if isinstance(value, Mapping):
        within = [(f"{path}.{name}" if path else str(name), item) for name, item in value.items()]
        return [one for place, item in within for one in _bad_templates(item, place)]
    if isinstance(value, tuple | list):
        return [one for item in value for one in _bad_templates(item, path)]
    secret = isinstance(value, Secret)
    try:
        check_text(value.inline if secret else value if isinstance(value, str) else "")
    except TemplateError as error:
        return [f"{path} is a template that fails" + ("" if secret else f": {error}")]
    return []


def _as_integration(kind: str, index: int, values: Mapping[str, Any]) -> Integration:
    settings = {
        f"{name}_ms" if name == "timeout" else name: value
        for name, value in values.items()
        if name != "send_resolved"
    }
    return Integration(kind, index, values["send_resolved"], settings)
