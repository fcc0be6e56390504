"""Makes a sender for each integration of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.errors import NotifyError, SettingError
from watchkeeper.server.alerts.config.model import Config, Integration
from watchkeeper.server.alerts.notification import Sender
from watchkeeper.server.alerts.receivers.apprise import AppriseSender
from watchkeeper.server.alerts.receivers.email import EmailSender
from watchkeeper.server.alerts.receivers.log import LogSender
from watchkeeper.server.alerts.receivers.pagerduty import PagerDutySender
from watchkeeper.server.alerts.receivers.settings import Settings, secret
from watchkeeper.server.alerts.receivers.slack import SlackBotSender, SlackWebhookSender, is_bot
from watchkeeper.server.alerts.receivers.webhook import WebhookSender
from watchkeeper.server.alerts.templates.store import TemplateError, Templates, check_text

__all__ = ["build_senders"]


def build_senders(config: Config) -> dict[tuple[str, str, int], Sender]:
    """Return a sender for each integration, by receiver, kind and index.

    Nothing is opened or connected to before the first message.

    Args:
        config: As the loader returns it; paths of templates start from the current folder unless
            they are absolute.

    Raises:
        SettingError: A file of templates or a template in a field cannot be parsed, or an
            integration is of a kind that is not sent to; names it.
    """
    try:
        templates = Templates(config.templates)
    except TemplateError as error:
        raise SettingError(
            f"a file of templates cannot be used: {error}. Accepted: templates as Alertmanager "
            "takes them. Next: correct the file."
        ) from None
    found: dict[tuple[str, str, int], Sender] = {}
    for receiver in config.receivers.values():
        for integration in receiver.integrations:
            where = f"receiver {receiver.name!r}, {integration.kind}_configs[{integration.index}]"
            _check(integration.settings, where)
            key = (receiver.name, integration.kind, integration.index)
            found[key] = _sender(integration, templates, where)
    return found


def _sender(integration: Integration, templates: Templates, where: str) -> Sender:
    settings = integration.settings
    if integration.kind == "slack":
        return _slack(settings, templates)
    if integration.kind == "pagerduty" and not secret(settings, "routing_key"):
        raise SettingError(
            f"{where} has no routing_key: got a service_key of the Events API v1, or nothing. "
            "Accepted: routing_key of an integration Events API v2. Next: make one in PagerDuty."
        )
    kinds: Mapping[str, Callable[[Settings, Templates], Sender]] = {
        "apprise": AppriseSender,
        "email": EmailSender,
        "log": lambda _, __: LogSender(),
        "pagerduty": PagerDutySender,
        "webhook": WebhookSender,
    }
    make = kinds.get(integration.kind)
    if make is None:
        raise SettingError(
            f"{where} is of a kind that is not sent to. Accepted: slack, {', '.join(kinds)}. "
            "Next: use one of them, or apprise_configs."
        )
    return make(settings, templates)


def _slack(settings: Settings, templates: Templates) -> Sender:
    try:
        bot = is_bot(settings)
    except NotifyError:
        bot = False  # its file is not there yet; what it holds is most likely a webhook's address
    return SlackBotSender(settings, templates) if bot else SlackWebhookSender(settings, templates)


def _check(value: Any, where: str) -> None:
    """Parse every text in *value*, so that a mistake is known before anything fires."""
    if isinstance(value, str):
        try:
            check_text(value)
        except TemplateError as error:
            raise SettingError(
                f"{where}: its template cannot be parsed: {error}. Accepted: a template as "
                "Alertmanager takes it. Next: correct the field."
            ) from None
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check(item, f"{where}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check(item, f"{where}[{number}]")
