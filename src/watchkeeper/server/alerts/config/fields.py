"""The tables of what watchkeeper sends with: HTTP, TLS, Slack, email, PagerDuty, webhook, apprise.

Fields, defaults and rules are those of Alertmanager's documentation, "Configuration" (0.34), and
of the ``http_config`` of prometheus/common. A text whose default is one of Alertmanager's own
templates has None here: the sender's own text then. Secrets in files are `Secret`s that read them;
so are a header's ``files``, added to its ``secrets``, and the lines of apprise's ``urls_file``.
"""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.config.scalars import canonical_header
from watchkeeper.server.alerts.config.tables import Block, Field, Reader, Table

__all__ = ["APPRISE", "EMAIL", "HTTP", "PAGERDUTY", "SENT", "SLACK", "SLACK_API", "TLS", "WEBHOOK"]

SLACK_API = "https://slack.com/api/chat.postMessage"

_TEXT = Field("text", "")
_OURS = Field("text")
_SECRET = Field("secret")
_FILE = Field("file", "")
_URL = Field("url")
_OFF = Field("bool", default=False)
_ON = Field("bool", default=True)
_RESERVED_HEADERS = {
    "Authorization", "Host", "Content-Encoding", "Content-Length", "Content-Type", "User-Agent",
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate",
    "Accept-Encoding", "X-Prometheus-Remote-Write-Version", "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds", "X-Amz-Date", "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
}  # fmt: skip


def _given(values: Mapping[str, object], *names: str) -> bool:
    return any(values.get(name) for name in names)


def _check_tls(reader: Reader, block: Block) -> None:
    cert = _given(block.values, "cert", "cert_file", "cert_ref")
    if cert != _given(block.values, "key", "key_file", "key_ref"):
        reader.refuse(
            block.line(), "tls_config has a client certificate or its key, but not both",
            "both, or neither",
        )  # fmt: skip


TLS = Table(
    "tls_config",
    {
        "ca": _TEXT, "ca_file": _FILE, "ca_ref": _TEXT,
        "cert": _TEXT, "cert_file": _FILE, "cert_ref": _TEXT,
        "key": _SECRET, "key_file": Field("path", ""), "key_ref": _TEXT,
        "server_name": _TEXT, "insecure_skip_verify": _OFF,
        "min_version": Field("tls_version", ""), "max_version": Field("tls_version", ""),
    },
    exclusive=(("ca", "ca_file", "ca_ref"), ("cert", "cert_file", "cert_ref"),
               ("key", "key_file", "key_ref")),
    check=_check_tls,
)  # fmt: skip

_PROXY = {
    "proxy_url": Field("proxy_url"), "no_proxy": _TEXT, "proxy_from_environment": _OFF,
    "proxy_connect_header": Field("secret_lists", {}),
}  # fmt: skip

_BASIC = Table(
    "basic_auth",
    {"username": _TEXT, "username_file": _FILE, "username_ref": _TEXT,
     "password": _SECRET, "password_file": _FILE, "password_ref": _TEXT},
    exclusive=(("username", "username_file", "username_ref"),
               ("password", "password_file", "password_ref")),
)  # fmt: skip

_AUTHORIZATION = Table(
    "authorization",
    {"type": Field("text", "Bearer"), "credentials": _SECRET, "credentials_file": _FILE,
     "credentials_ref": _TEXT},
    exclusive=(("credentials", "credentials_file", "credentials_ref"),),
)  # fmt: skip

_OAUTH2 = Table(
    "oauth2",
    {
        "client_id": _TEXT, "client_secret": _SECRET, "client_secret_file": _FILE,
        "client_secret_ref": _TEXT, "client_certificate_key_id": _TEXT,
        "client_certificate_key": _SECRET, "client_certificate_key_file": _FILE,
        "client_certificate_key_ref": _TEXT, "grant_type": _TEXT, "signature_algorithm": _TEXT,
        "iss": _TEXT, "audience": _TEXT, "claims": Field("any_map", {}),
        "scopes": Field("texts", ()), "token_url": _TEXT, "endpoint_params": Field("labels", {}),
        "tls_config": Field("table", table=TLS), **_PROXY,
    },
    required=(("client_id",), ("token_url",)),
    exclusive=(("client_secret", "client_secret_file", "client_secret_ref"),
               ("client_certificate_key", "client_certificate_key_file",
                "client_certificate_key_ref")),
)  # fmt: skip


def _check_header(_: Reader, block: Block) -> None:
    files = tuple(Secret(source=path) for path in block.values.pop("files"))
    block.values["secrets"] += files


_HEADER = Table(
    "a header",
    {"values": Field("texts", ()), "secrets": Field("secrets", ()), "files": Field("files", ())},
    check=_check_header,
)


def _check_http(reader: Reader, block: Block) -> None:
    ways = ("basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file")
    given = [name for name in ways if block[name]]
    if len(given) > 1:
        reader.refuse(
            max(block.line(name) for name in given),
            f"http_config gives several of {', '.join(given)}", "one of them",
        )  # fmt: skip
    authorization = block["authorization"]
    if authorization is not None:
        authorization["type"] = authorization["type"].strip() or "Bearer"
        if authorization["type"].lower() == "basic":
            reader.refuse(
                block.line("authorization"), "authorization has the type basic", "basic_auth"
            )
    proxied, environment = bool(block["proxy_url"]), block["proxy_from_environment"]
    if block["proxy_connect_header"] and not (proxied or environment):
        reader.refuse(
            block.line("proxy_connect_header"), "proxy_connect_header is given without a proxy",
            "proxy_url or proxy_from_environment beside it",
        )  # fmt: skip
    if environment and (proxied or block["no_proxy"]):
        reader.refuse(
            block.line("proxy_from_environment"),
            "proxy_from_environment is given with proxy_url or no_proxy", "one of them",
        )  # fmt: skip
    if block["no_proxy"] and not proxied:
        reader.refuse(block.line("no_proxy"), "no_proxy is given without proxy_url", "both")
    for name in block["http_headers"]:
        if canonical_header(name) in _RESERVED_HEADERS:
            reader.refuse(
                block.line("http_headers"), f"http_headers sets {name[:80]!r}",
                "headers that HTTP itself does not need",
            )  # fmt: skip
    _as_authorization(block)


def _as_authorization(block: Block) -> None:
    """Turn the old ``bearer_token`` and ``bearer_token_file`` into what replaced them."""
    token, path = block.values.pop("bearer_token"), block.values.pop("bearer_token_file")
    if token or path:
        credentials = type(token)(source=path) if path else token
        block.values["authorization"] = {
            "type": "Bearer", "credentials": credentials, "credentials_ref": "",
        }  # fmt: skip


HTTP = Table(
    "http_config",
    {
        "basic_auth": Field("table", table=_BASIC),
        "authorization": Field("table", table=_AUTHORIZATION),
        "oauth2": Field("table", table=_OAUTH2),
        "bearer_token": _SECRET, "bearer_token_file": Field("path", ""),
        "tls_config": Field("table", table=TLS), "follow_redirects": _ON, "enable_http2": _ON,
        **_PROXY, "http_headers": Field("named", {}, table=_HEADER),
    },
    check=_check_http,
)  # fmt: skip

HTTP_FIELD = Field("table", table=HTTP)


def _check_slack_action(reader: Reader, block: Block) -> None:
    if block["url"]:
        block.values |= {"name": "", "value": "", "confirm": None}
    elif not block["name"]:
        reader.refuse(block.line(), "a Slack action has neither url nor name", "one of them")


_SLACK_CONFIRM = Table(
    "a Slack confirmation",
    {"text": _TEXT, "title": _TEXT, "ok_text": _TEXT, "dismiss_text": _TEXT},
    required=(("text",),),
)
_SLACK_ACTION = Table(
    "a Slack action",
    {"type": _TEXT, "text": _TEXT, "url": _TEXT, "style": _TEXT, "name": _TEXT, "value": _TEXT,
     "confirm": Field("table", table=_SLACK_CONFIRM)},
    required=(("type",), ("text",)),
    check=_check_slack_action,
)  # fmt: skip
SLACK_FIELD = Table(
    "a Slack field",
    {"title": _TEXT, "value": _TEXT, "short": Field("bool")},
    required=(("title",), ("value",)),
)

SLACK = Table(
    "a Slack receiver",
    {
        "send_resolved": _OFF, "http_config": HTTP_FIELD,
        "api_url": Field("secret_url"), "api_url_file": _FILE,
        "app_token": _SECRET, "app_token_file": _FILE, "app_url": _URL,
        "channel": _TEXT, "username": _OURS, "color": _OURS, "title": _OURS, "title_link": _OURS,
        "pretext": _OURS, "text": _OURS, "message_text": _TEXT,
        "fields": Field("tables", (), table=SLACK_FIELD), "short_fields": _OFF, "footer": _OURS,
        "fallback": _OURS, "callback_id": _OURS, "icon_emoji": _OURS, "icon_url": _OURS,
        "image_url": _TEXT, "thumb_url": _TEXT, "link_names": _OFF,
        "mrkdwn_in": Field("texts", ()), "actions": Field("tables", (), table=_SLACK_ACTION),
        "update_message": _OFF, "timeout": Field("go_duration", 0),
    },
    exclusive=(("api_url", "api_url_file", "app_token", "app_token_file"),),
)  # fmt: skip


def _check_email(reader: Reader, block: Block) -> None:
    headers: dict[str, str] = {}
    for name, text in block["headers"].items():
        same = canonical_header(name)
        if same in headers:
            reader.refuse(
                block.line("headers"), f"the header {same[:80]!r} is given twice",
                "distinct names, whatever their case",
            )  # fmt: skip
        headers[same] = text
    block.values["headers"] = headers
    threading = block.values["threading"] = block["threading"] or dict(_NO_THREADING)
    if not threading["enabled"]:
        return
    if "References" in headers or "In-Reply-To" in headers:
        reader.refuse(
            block.line("headers"), "headers set what threading sets",
            "threading, or References and In-Reply-To of your own",
        )  # fmt: skip
    if threading["thread_by_date"] not in {"none", "daily"}:
        reader.refuse(
            block.line("threading"), f"thread_by_date is {threading['thread_by_date'][:40]!r}",
            "none or daily",
        )  # fmt: skip


_NO_THREADING = {"enabled": False, "thread_by_date": ""}
_THREADING = Table("threading", {"enabled": _OFF, "thread_by_date": _TEXT})

EMAIL = Table(
    "an email receiver",
    {
        "send_resolved": _OFF, "to": _TEXT, "from": _TEXT, "hello": _TEXT,
        "smarthost": Field("host_port", ""), "auth_username": _TEXT, "auth_password": _SECRET,
        "auth_password_file": _FILE, "auth_secret": _SECRET, "auth_secret_file": _FILE,
        "auth_identity": _TEXT, "headers": Field("labels", {}), "html": _OURS, "text": _TEXT,
        "require_tls": Field("bool"), "tls_config": Field("table", table=TLS),
        "force_implicit_tls": Field("bool"),
        "threading": Field("table", dict(_NO_THREADING), table=_THREADING),
    },
    required=(("to",),),
    check=_check_email,
)  # fmt: skip

_LINK = Table("a PagerDuty link", {"href": _TEXT, "text": _TEXT})
_IMAGE = Table("a PagerDuty image", {"src": _TEXT, "alt": _TEXT, "href": _TEXT})

PAGERDUTY = Table(
    "a PagerDuty receiver",
    {
        "send_resolved": _ON, "http_config": HTTP_FIELD,
        "service_key": _SECRET, "service_key_file": _FILE,
        "routing_key": _SECRET, "routing_key_file": _FILE, "url": _URL,
        "client": _OURS, "client_url": _OURS, "description": _OURS,
        "details": Field("any_map", {}), "images": Field("tables", (), table=_IMAGE),
        "links": Field("tables", (), table=_LINK), "source": _TEXT, "severity": _TEXT,
        "class": _TEXT, "component": _TEXT, "group": _TEXT, "timeout": Field("go_duration", 0),
    },
    required=(("routing_key", "service_key", "routing_key_file", "service_key_file"),),
    exclusive=(("routing_key", "routing_key_file"), ("service_key", "service_key_file")),
)  # fmt: skip

WEBHOOK = Table(
    "a webhook receiver",
    {
        "send_resolved": _ON, "http_config": HTTP_FIELD,
        "url": Field("template_url"), "url_file": _FILE, "max_alerts": Field("uint", 0),
        "timeout": Field("go_duration", 0), "payload": Field("any"),
    },
    required=(("url", "url_file"),),
    exclusive=(("url", "url_file"),),
)  # fmt: skip


def _check_apprise(_: Reader, block: Block) -> None:
    path = block.values.pop("urls_file")
    if path:
        block.values["urls"] = (Secret(source=path),)


APPRISE = Table(
    "an apprise receiver",
    {
        "send_resolved": _ON,
        "urls": Field("secrets", ()),
        "urls_file": Field("path", ""),
        "title": _OURS,
        "text": _OURS,
        "timeout": Field("go_duration", 0),
    },
    required=(("urls", "urls_file"),),
    exclusive=(("urls", "urls_file"),),
    check=_check_apprise,
)

SENT: dict[str, Table] = {
    "slack": SLACK, "email": EMAIL, "pagerduty": PAGERDUTY, "webhook": WEBHOOK,
    "apprise": APPRISE,
}  # fmt: skip
"""By kind, what watchkeeper sends with; ``apprise`` is our own, Alertmanager does not know it."""
