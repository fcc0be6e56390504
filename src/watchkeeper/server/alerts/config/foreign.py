"""The tables of the receivers that Alertmanager knows and watchkeeper does not send to.

They are read so that ``watchkeeper routes check`` gives Alertmanager's verdict on a file; the
server refuses them by name. Source: Alertmanager's documentation, "Configuration" (0.34).
"""

from __future__ import annotations

from collections.abc import Callable

from watchkeeper.server.alerts.config.fields import HTTP_FIELD, SLACK_FIELD
from watchkeeper.server.alerts.config.tables import Block, Field, Reader, Table

__all__ = ["FOREIGN"]

_TEXT = Field("text", "")
_SECRET = Field("secret")
_FILE = Field("file", "")
_URL = Field("url")
_SECRET_URL = Field("secret_url")
_FLAG = Field("bool", default=False)
_NUMBER = Field("int", 0)
_COMMON = {"send_resolved": Field("bool", default=True), "http_config": HTTP_FIELD}
_HOOK = {**_COMMON, "webhook_url": _SECRET_URL, "webhook_url_file": _FILE}
_ONE_HOOK = (("webhook_url", "webhook_url_file"),)
_RESPONDER_TYPES = {"team", "teams", "user", "escalation", "schedule"}
_VICTOROPS_RESERVED = {
    "routing_key", "message_type", "state_message", "entity_display_name", "monitoring_tool",
    "entity_id", "entity_state",
}  # fmt: skip


def _texts(*names: str) -> dict[str, Field]:
    return dict.fromkeys(names, _TEXT)


def _one_of(field: str, allowed: set[str]) -> Callable[[Reader, Block], None]:
    def check(reader: Reader, block: Block) -> None:
        if block[field] not in allowed:
            reader.refuse(
                block.line(field), f"{field} is {block[field][:40]!r}",
                ", ".join(sorted(allowed - {""})),
            )  # fmt: skip

    return check


def _check_responder(reader: Reader, block: Block) -> None:
    if "{{" not in block["type"] and block["type"].lower() not in _RESPONDER_TYPES:
        reader.refuse(
            block.line("type"), f"the responder's type is {block['type'][:40]!r}",
            ", ".join(sorted(_RESPONDER_TYPES)),
        )  # fmt: skip


def _check_victorops(reader: Reader, block: Block) -> None:
    for name in _VICTOROPS_RESERVED.intersection(block["custom_fields"]):
        reader.refuse(
            block.line("custom_fields"), f"custom_fields sets {name!r}",
            "names that the message does not have already",
        )  # fmt: skip


def _check_sns(reader: Reader, block: Block) -> None:
    targets = [name for name in ("target_arn", "topic_arn", "phone_number") if block[name]]
    # Alertmanager counts evenly: it takes all three together, too.
    if len(targets) % 2 == 0:
        reader.refuse(
            block.line(), f"an SNS receiver gives {len(targets)} of its targets",
            "one of target_arn, topic_arn and phone_number",
        )  # fmt: skip


def _check_sigv4(reader: Reader, block: Block) -> None:
    if bool(block["access_key"]) != bool(block["secret_key"]):
        reader.refuse(
            block.line(), "sigv4 has one of access_key and secret_key", "both, or neither"
        )


def _check_telegram(reader: Reader, block: Block) -> None:
    _one_of("parse_mode", {"", "Markdown", "MarkdownV2", "HTML"})(reader, block)
    if (block["chat_id"] != 0) == bool(block["chat_id_file"]):
        reader.refuse(
            block.line(), "a Telegram receiver needs one chat", "one of chat_id and chat_id_file"
        )


def _check_pushover(reader: Reader, block: Block) -> None:
    if block["html"] and block["monospace"]:
        reader.refuse(block.line("html"), "html and monospace are both set", "one of them")


def _check_webex(reader: Reader, block: Block) -> None:
    http = block["http_config"]
    if http is None or http["authorization"] is None:
        reader.refuse(
            block.line(), "a Webex receiver has no authorization", "http_config.authorization"
        )


def _check_incidentio(reader: Reader, block: Block) -> None:
    http = block["http_config"]
    token = bool(block["alert_source_token"]) or bool(block["alert_source_token_file"])
    authorized = http is not None and http["authorization"] is not None
    if (authorized and token) or (http is not None and not authorized and not token):
        reader.refuse(
            block.line(), "an incident.io receiver needs one way to authorize",
            "an alert source token, or http_config.authorization",
        )  # fmt: skip


_RESPONDER = Table(
    "an OpsGenie responder", _texts("id", "name", "username", "type"),
    required=(("id", "name", "username"),), check=_check_responder,
)  # fmt: skip
_SIGV4 = Table(
    "sigv4",
    {**_texts("region", "profile", "role_arn", "external_id", "access_key"),
     "secret_key": _SECRET, "use_fips_sts_endpoint": _FLAG},
    check=_check_sigv4,
)  # fmt: skip
_ATTACHMENT_TEXTS = _texts(
    "fallback", "color", "pretext", "text", "author_name", "author_link", "author_icon", "title",
    "title_link", "thumb_url", "footer", "footer_icon", "image_url",
)  # fmt: skip
_FIELDS = Field("tables", (), table=SLACK_FIELD)
_ROCKETCHAT_FIELD = Table(
    "a Rocket.Chat field", {**_texts("title", "value"), "short": Field("bool")}
)
_ROCKETCHAT_ACTION = Table(
    "a Rocket.Chat action",
    {**_texts("type", "text", "url", "imageurl", "webviewheightratio", "msg", "msgprocessingtype"),
     "iswebview": _FLAG, "msginchatwindow": _FLAG},
)  # fmt: skip

FOREIGN: dict[str, Table] = {
    "discord": Table(
        "a Discord receiver",
        {**_HOOK, **_texts("content", "title", "message", "username", "avatar_url")},
        required=_ONE_HOOK, exclusive=_ONE_HOOK,
    ),
    "incidentio": Table(
        "an incident.io receiver",
        {**_COMMON, "url": _URL, "url_file": _FILE, "alert_source_token": _SECRET,
         "alert_source_token_file": _FILE, "max_alerts": Field("uint", 0),
         "timeout": Field("go_duration", 0)},
        required=(("url", "url_file"),),
        exclusive=(("url", "url_file"), ("alert_source_token", "alert_source_token_file")),
        check=_check_incidentio,
    ),
    "jira": Table(
        "a Jira receiver",
        {**_COMMON, "api_url": _URL, "api_type": Field("text", "auto"),
         "project": _TEXT, "summary": Field("any"), "description": Field("any"),
         "labels": Field("texts", ()), "reopen_duration": Field("duration", 0),
         **_texts("priority", "issue_type", "reopen_transition", "resolve_transition",
                  "wont_fix_resolution"),
         "fields": Field("any_map", {})},
        required=(("project",), ("issue_type",)),
        check=_one_of("api_type", {"auto", "cloud", "datacenter"}),
    ),
    "mattermost": Table(
        "a Mattermost receiver",
        {**_HOOK, **_ATTACHMENT_TEXTS,
         **_texts("channel", "username", "icon_url", "icon_emoji", "type"), "fields": _FIELDS,
         "attachments": Field("tables", (), table=Table(
             "a Mattermost attachment", {**_ATTACHMENT_TEXTS, "fields": _FIELDS})),
         "props": Field("table", table=Table("props", _texts("card"))),
         "priority": Field("table", table=Table(
             "priority", {"priority": _TEXT, "requested_ack": _FLAG,
                          "persistent_notifications": _FLAG}))},
        exclusive=_ONE_HOOK,
    ),
    "msteams": Table(
        "an MS Teams receiver", {**_HOOK, **_texts("title", "summary", "text")},
        required=_ONE_HOOK, exclusive=_ONE_HOOK,
    ),
    "msteamsv2": Table(
        "an MS Teams v2 receiver", {**_HOOK, **_texts("title", "text")},
        required=_ONE_HOOK, exclusive=_ONE_HOOK,
    ),
    "opsgenie": Table(
        "an OpsGenie receiver",
        {**_COMMON, "api_key": _SECRET, "api_key_file": _FILE, "api_url": _URL,
         **_texts("message", "description", "source", "entity", "actions", "tags", "note",
                  "priority"),
         "details": Field("labels", {}), "responders": Field("tables", (), table=_RESPONDER),
         "update_alerts": _FLAG},
        exclusive=(("api_key", "api_key_file"),),
    ),
    "pushover": Table(
        "a Pushover receiver",
        {**_COMMON, "user_key": _SECRET, "user_key_file": _FILE, "token": _SECRET,
         "token_file": _FILE,
         **_texts("title", "message", "url", "url_title", "device", "sound", "priority"),
         **dict.fromkeys(("retry", "expire", "ttl"), Field("go_duration", 0)),
         "html": _FLAG, "monospace": _FLAG},
        required=(("user_key", "user_key_file"), ("token", "token_file")),
        exclusive=(("user_key", "user_key_file"), ("token", "token_file")),
        check=_check_pushover,
    ),
    "rocketchat": Table(
        "a Rocket.Chat receiver",
        {**_COMMON, "api_url": _URL, "token_id": _SECRET, "token_id_file": _FILE,
         "token": _SECRET, "token_file": _FILE,
         **_texts("channel", "color", "title", "title_link", "text", "emoji", "icon_url",
                  "image_url", "thumb_url"),
         "fields": Field("tables", (), table=_ROCKETCHAT_FIELD), "short_fields": _FLAG,
         "link_names": _FLAG, "actions": Field("tables", (), table=_ROCKETCHAT_ACTION)},
        exclusive=(("token_id", "token_id_file"), ("token", "token_file")),
    ),
    "sns": Table(
        "an SNS receiver",
        {**_COMMON, "sigv4": Field("table", table=_SIGV4),
         **_texts("api_url", "topic_arn", "phone_number", "target_arn", "subject", "message"),
         "attributes": Field("labels", {}), "use_aws_http_client": _FLAG},
        check=_check_sns,
    ),
    "telegram": Table(
        "a Telegram receiver",
        {**_COMMON, "api_url": _URL, "bot_token": _SECRET, "bot_token_file": _FILE,
         "chat_id": _NUMBER, "chat_id_file": _FILE, "message_thread_id": _NUMBER,
         "message": _TEXT, "disable_notifications": _FLAG, "parse_mode": Field("text", "HTML")},
        exclusive=(("bot_token", "bot_token_file"),),
        check=_check_telegram,
    ),
    "victorops": Table(
        "a VictorOps receiver",
        {**_COMMON, "api_key": _SECRET, "api_key_file": _FILE, "api_url": _URL,
         **_texts("routing_key", "message_type", "state_message", "entity_display_name",
                  "monitoring_tool"),
         "custom_fields": Field("labels", {})},
        required=(("routing_key",),),
        exclusive=(("api_key", "api_key_file"),),
        check=_check_victorops,
    ),
    "webex": Table(
        "a Webex receiver", {**_COMMON, "api_url": _URL, **_texts("message", "room_id")},
        required=(("room_id",),), check=_check_webex,
    ),
    "wechat": Table(
        "a WeChat receiver",
        {**_COMMON, "api_secret": _SECRET, "api_secret_file": _FILE, "api_url": _URL,
         **_texts("corp_id", "message", "to_user", "to_party", "to_tag", "agent_id"),
         "message_type": Field("text", "text")},
        exclusive=(("api_secret", "api_secret_file"),),
        check=_one_of("message_type", {"", "text", "markdown"}),
    ),
}  # fmt: skip
"""By kind, what Alertmanager sends to and watchkeeper does not."""
