"""A configuration becomes senders, and mistakes are known before anything fires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.server.alerts.receivers.samples import notification

from watchkeeper.errors import SettingError
from watchkeeper.server.alerts.config.loader import load_config_text
from watchkeeper.server.alerts.config.model import Config, Integration, Receiver, Route
from watchkeeper.server.alerts.notification import Acknowledger
from watchkeeper.server.alerts.receivers import build_senders
from watchkeeper.server.alerts.receivers.slack import SlackBotSender, SlackWebhookSender
from watchkeeper.testing import FakePagerDuty, FakeSlack, FakeSmtp, FakeWebhook


def configured(kind: str, settings: dict[str, Any], **fields: Any) -> Config:
    """Return a configuration with one integration."""
    receiver = Receiver("team", (Integration(kind, 0, send_resolved=True, settings=settings),))
    return Config(Route("team"), {"team": receiver}, **fields)


async def test_every_kind_of_a_real_file_sends(tmp_path: Path) -> None:
    """What the loader makes of ``alertmanager.yml`` is what the senders understand."""
    with (
        FakeSlack() as slack,
        FakeWebhook() as hook,
        FakePagerDuty() as pager,
        FakeSmtp(user="u", password="p") as mail,
    ):
        (tmp_path / "key").write_text(pager.routing_key)
        (tmp_path / "a.tmpl").write_text('{{ define "mine" }}M {{ .Status }}{{ end }}')
        text = f"""
global:
  smtp_smarthost: {mail.address}
  smtp_from: alerts@example.org
  smtp_auth_username: u
  smtp_auth_password: p
  smtp_tls_config: {{ca_file: {mail.ca_file}}}
  slack_app_url: {slack.api_url}
route: {{receiver: team}}
templates: ['*.tmpl']
receivers:
- name: team
  slack_configs:
  - {{api_url: '{slack.url}', send_resolved: true}}
  - {{app_token: {slack.token}, channel: '#alerts', title: '{{{{ template "mine" . }}}}'}}
  webhook_configs:
  - {{url: '{hook.url}', http_config: {{authorization: {{credentials: t}}}}, timeout: 2s}}
  pagerduty_configs:
  - {{routing_key_file: key, url: '{pager.url}'}}
  email_configs:
  - {{to: ops@example.org}}
- name: nobody
"""
        senders = build_senders(load_config_text(text, str(tmp_path / "alertmanager.yml")))
        for sender in senders.values():
            await sender.send(notification(), {})
            await sender.aclose()

        assert {
            ("team", "slack", 0): SlackWebhookSender, ("team", "slack", 1): SlackBotSender,
        } == {key: type(sender) for key, sender in senders.items() if key[1] == "slack"}  # fmt: skip
        assert {"slack", "webhook", "pagerduty", "email"} == {kind for _, kind, _ in senders}
        assert "M firing" == slack.posts[0].body["text"]
        assert "api fails" in slack.messages[0]["text"]
        assert "Bearer t" == hook.requests[0].headers["authorization"]
        assert 1 == len(pager.incidents)
        assert "[FIRING] ApiErrorRate" in mail.mails[0].message["Subject"]
        assert {"slack", "pagerduty"} == {
            kind for (_, kind, _), sender in senders.items() if isinstance(sender, Acknowledger)
        }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (configured("telegram", {}), "of a kind that is not sent to"),
        (configured("pagerduty", {"service_key": "k"}), "has no routing_key"),
        (configured("webhook", {"url": "u", "payload": {"a": ["{{ nope }}"]}}),
         r"webhook_configs\[0\]\.payload\.a\[0\].*'nope' is not defined"),
        (configured("slack", {}, templates=("/dev/null/x", "/proc/self/mem")), "cannot be used"),
    ],
)  # fmt: skip
def test_mistakes_are_named(config: Config, message: str) -> None:
    """The error says which receiver, which field, and what is wrong."""
    with pytest.raises(SettingError, match=message):
        build_senders(config)
