"""Small configuration files, each about one rule, with Alertmanager's verdict on it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "Case"]

_MAIL = "smtp_smarthost: 'h:25', smtp_from: a@b"


@dataclass(frozen=True, slots=True)
class Case:
    """A file by its parts."""

    name: str
    good: bool
    route: str = "receiver: r"
    receiver: str = ""
    """Further fields of the one receiver."""
    top: str = ""
    """``global``, in braces."""
    rest: str = ""

    @property
    def text(self) -> str:
        """The file."""
        return (
            f"global: {self.top or '{}'}\nroute: {{{self.route}}}\n"
            f"receivers: [{{name: r{', ' if self.receiver else ''}{self.receiver}}}]\n{self.rest}\n"
        )


def _one(kind: str, fields: str) -> str:
    return f"{kind}_configs: [{{{fields}}}]"


def _http(fields: str) -> str:
    return _one("webhook", f"url: 'http://h', http_config: {{{fields}}}")


def _child(fields: str) -> str:
    return f"receiver: r, routes: [{{{fields}}}]"


def _interval(fields: str) -> str:
    return f"time_intervals: [{{name: t, time_intervals: [{{{fields}}}]}}]"


CASES: tuple[Case, ...] = (
    Case("nothing but a receiver", good=True),
    Case("an unknown field of a route", good=False, route="receiver: r, x: 1"),
    Case("a receiver that is not defined", good=False, route=_child("receiver: s")),
    Case("no receiver at the root", good=False, route=""),
    Case("matchers at the root", good=False, route="receiver: r, matchers: [a=b]"),
    Case("continue at the root", good=False, route="receiver: r, continue: true"),
    Case("a boolean in quotes", good=False, route=_child("continue: 'true'")),
    Case("a boolean by another name", good=True, route=_child("continue: Yes")),
    Case("group by everything", good=True, route="receiver: r, group_by: ['...']"),
    Case("group by everything and more", good=False, route="receiver: r, group_by: ['...', a]"),
    Case("group by a label twice", good=False, route="receiver: r, group_by: [a, a]"),
    Case("group by nothing", good=True, route="receiver: r, group_by: []"),
    Case("no wait", good=True, route="receiver: r, group_wait: 0s"),
    Case("no interval", good=False, route="receiver: r, group_interval: 0s"),
    Case("no repeat", good=False, route="receiver: r, repeat_interval: 0s"),
    Case("a long duration", good=True, route="receiver: r, repeat_interval: 1y2w3d4h5m6s7ms"),
    Case("a duration in the wrong order", good=False, route="receiver: r, group_wait: 1s1m"),
    Case("a duration without a unit", good=False, route="receiver: r, group_wait: 10"),
    Case("a matcher in braces", good=True, route=_child("matchers: ['{a=\"b\",c!~\"d|e\"}']")),
    Case("a matcher without quotes", good=True, route=_child("matchers: [a=b c]")),
    Case("a matcher without an operator", good=False, route=_child("matchers: [a]")),
    Case("a matcher with a broken pattern", good=False, route=_child("matchers: ['a=~(']")),
    Case("a pattern that looks back", good=False, route=_child("match_re: {a: '(?<=b)c'}")),
    Case("an empty match", good=True, route=_child("match: {a: }")),
    Case("match with an odd name", good=False, route=_child("match: {a-b: c}")),
    Case("a time interval that is not there", good=False, route=_child("mute_time_intervals: [x]")),
    Case("muted at a time", good=True, route=_child("mute_time_intervals: [t]"),
         rest=_interval("weekdays: ['monday:friday']")),
    Case("active at a time", good=True, route=_child("active_time_intervals: [t]"),
         rest="mute_time_intervals: [{name: t}]"),
    Case("the root muted", good=False, route="receiver: r, mute_time_intervals: [t]",
         rest=_interval("")),
    Case("an interval twice", good=False, rest="time_intervals: [{name: a}, {name: a}]"),
    Case("an interval without a name", good=False, rest="time_intervals: [{}]"),
    Case("a whole day", good=True,
         rest=_interval("times: [{start_time: '00:00', end_time: '24:00'}]")),
    Case("a time over midnight", good=False,
         rest=_interval("times: [{start_time: '22:00', end_time: '06:00'}]")),
    Case("a week over sunday", good=False, rest=_interval("weekdays: ['friday:monday']")),
    Case("a day from the end", good=True, rest=_interval("days_of_month: ['-5:-1', '10:-3']")),
    Case("a day before the first", good=False, rest=_interval("days_of_month: ['-5:5']")),
    Case("a thirteenth month", good=True, rest=_interval("months: [13]")),
    Case("a year as a number", good=True, rest=_interval("years: [2026, '2027:2030']")),
    Case("a zone", good=True, rest=_interval("location: Europe/Berlin")),
    Case("a zone that is none", good=False, rest=_interval("location: Middle/Earth")),
    Case("inhibition", good=True,
         rest="inhibit_rules: [{source_matchers: [a=b], target_match: {c: d}, equal: [e]}]"),
    Case("inhibition by an odd name", good=False, rest="inhibit_rules: [{target_match: {a b: c}}]"),
    Case("a receiver twice", good=False, rest="inhibit_rules: []\nmute_time_intervals: []",
         receiver="webhook_configs: []}, {name: r"),
    Case("a receiver without a name", good=False, receiver="webhook_configs: []}, {name: ''"),
    Case("an unknown kind", good=False, receiver=_one("pigeon", "to: a")),
    Case("webhook", good=True, receiver=_one("webhook", "url: 'http://h/a?b=c', max_alerts: 3")),
    Case("webhook without a host", good=False, receiver=_one("webhook", "url: 'http:///a'")),
    Case("webhook over ftp", good=False, receiver=_one("webhook", "url: 'ftp://h'")),
    Case("webhook to a bad port", good=False, receiver=_one("webhook", "url: 'http://h:port'")),
    Case("webhook without a url", good=False, receiver=_one("webhook", "max_alerts: 3")),
    Case("webhook with fewer than no alerts", good=False,
         receiver=_one("webhook", "url: 'http://h', max_alerts: -1")),
    Case("Slack that was shown", good=True, receiver=_one("slack", "api_url: <secret>")),
    Case("basic authentication", good=True, receiver=_http("basic_auth: {username: a, password: b}")),
    Case("two passwords", good=False,
         receiver=_http("basic_auth: {username: a, password: b, password_file: c}")),
    Case("two ways to authorize", good=False,
         receiver=_http("basic_auth: {username: a}, bearer_token: b")),
    Case("authorization", good=True, receiver=_http("authorization: {credentials: a}")),
    Case("authorization called basic", good=False, receiver=_http("authorization: {type: Basic}")),
    Case("OAuth", good=True,
         receiver=_http("oauth2: {client_id: a, client_secret: b, token_url: 'http://h'}")),
    Case("OAuth without an address", good=False, receiver=_http("oauth2: {client_id: a}")),
    Case("a TLS version", good=True, receiver=_http("tls_config: {min_version: TLS12}")),
    Case("a TLS version of old", good=False, receiver=_http("tls_config: {min_version: SSL3}")),
    Case("a proxy", good=True, receiver=_http("proxy_url: 'http://u:p@h:80'")),
    Case("email", good=True, top=f"{{{_MAIL}}}", receiver=_one("email", "to: a@b")),
    Case("email without a server", good=False, receiver=_one("email", "to: a@b, from: c@d")),
    Case("email without a sender", good=False,
         receiver=_one("email", "to: a@b, smarthost: 'h:25'")),
    Case("email to nobody", good=False, top=f"{{{_MAIL}}}", receiver=_one("email", "hello: h")),
    Case("a header twice", good=False, top=f"{{{_MAIL}}}",
         receiver=_one("email", "to: a@b, headers: {subject: a, Subject: b}")),
    Case("a server without a port", good=False, top="{smtp_smarthost: h}"),
    Case("a server with an empty port", good=False, top="{smtp_smarthost: 'h:'}"),
    Case("a server by IPv6", good=True, top="{smtp_smarthost: '[::1]:25'}"),
    Case("a server by bare IPv6", good=False, top="{smtp_smarthost: '::1:25'}"),
    Case("a server without a name", good=True, top="{smtp_smarthost: ':25'}"),
    Case("Slack", good=True, receiver=_one("slack", "api_url: 'http://h'")),
    Case("Slack by the global webhook", good=True, top="{slack_api_url: 'http://h'}",
         receiver=_one("slack", "channel: c")),
    Case("Slack without a webhook", good=False, receiver=_one("slack", "channel: c")),
    Case("two webhooks of Slack", good=False,
         receiver=_one("slack", "api_url: 'http://h', api_url_file: f")),
    Case("a field of Slack without a value", good=False,
         receiver=_one("slack", "api_url: 'http://h', fields: [{title: t}]")),
    Case("an action of Slack without a target", good=False,
         receiver=_one("slack", "api_url: 'http://h', actions: [{type: button, text: t}]")),
    Case("an action of Slack", good=True,
         receiver=_one("slack", "api_url: 'http://h', actions: [{type: b, text: t, url: u}]")),
    Case("PagerDuty", good=True, receiver=_one("pagerduty", "routing_key: k, details: {a: b}")),
    Case("PagerDuty without a key", good=False, receiver=_one("pagerduty", "client: c")),
    Case("PagerDuty with a number as its key", good=True, receiver=_one("pagerduty", "routing_key: 1")),
    Case("PagerDuty nowhere", good=False, top="{pagerduty_url: }",
         receiver=_one("pagerduty", "routing_key: k")),
    Case("our own apprise", good=False, receiver=_one("apprise", "urls: ['json://h']")),
    Case("VictorOps without a key", good=False,
         receiver=_one("victorops", "routing_key: k")),
    Case("a reserved field of VictorOps", good=False,
         receiver=_one("victorops", "api_key: a, routing_key: k, custom_fields: {entity_id: a}")),
    Case("Telegram with a bad mode", good=False,
         receiver=_one("telegram", "bot_token: a, chat_id: 1, parse_mode: Loud")),
    Case("Pushover without a user", good=False, receiver=_one("pushover", "token: t")),
    Case("an OpsGenie responder of no type", good=False,
         receiver=_one("opsgenie", "api_key: a, responders: [{name: n, type: choir}]")),
    Case("an OpsGenie responder by template", good=True,
         receiver=_one("opsgenie", "api_key: a, responders: [{name: n, type: USER}]")),
    Case("WeChat with a bad type", good=False,
         receiver=_one("wechat", "api_secret: a, corp_id: c, message_type: song")),
    Case("Webex without authorization", good=False, receiver=_one("webex", "room_id: a")),
    Case("Discord", good=True, receiver=_one("discord", "webhook_url: 'http://h'")),
    Case("SNS to two targets", good=False,
         receiver=_one("sns", "topic_arn: a, phone_number: '1', sigv4: {region: r}")),
    Case("SNS with half a key", good=False,
         receiver=_one("sns", "topic_arn: a, sigv4: {access_key: a}")),
    Case("empty global fields", good=True, top="{smtp_hello: , http_config: , resolve_timeout: }"),
    Case("a duration of seconds", good=False, top="{resolve_timeout: 300}"),
)  # fmt: skip
