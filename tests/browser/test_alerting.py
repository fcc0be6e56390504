"""Alerts, silences and incidents in a real browser, on a server whose rules fire at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.conftest import RULES, Alerting
from tests.browser.visit import Visit

pytestmark = pytest.mark.timeout(720)

_WAIT_MS = 20_000


@pytest.fixture
def visit(browser: Browser, alerting: Alerting) -> Iterator[Visit]:
    """Yield a page of a fresh browser: nobody's name is known."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(_WAIT_MS)
    expect.set_options(timeout=_WAIT_MS)
    yield Visit(page, alerting.url)
    context.close()


def group(page: Page, name: str) -> Locator:
    """Return the card of a group."""
    return page.locator(f'[data-testid="alert-group"][data-name="{name}"]')


def test_a_silence_is_made_from_an_alert_seen_and_ended(visit: Visit) -> None:
    """Silencing one alert mutes that one and says by whom; ending the silence lets it fire again."""
    page = visit.open("/alerts")
    emails = group(page, "QueueDepth").get_by_test_id("alert").filter(has_text="emails")
    expect(emails).to_have_attribute("data-alert-state", "active")
    emails.get_by_test_id("silence-alert").click()
    expect(page.get_by_test_id("matcher")).to_have_count(4)
    expect(page.get_by_test_id("preview")).to_have_attribute("data-count", "1")
    expect(page.get_by_test_id("preview-alert")).to_contain_text("emails")

    page.get_by_test_id("silence-save").click()
    expect(page.get_by_test_id("problem-author")).to_be_visible()
    expect(page.get_by_test_id("problem-comment")).to_be_visible()
    page.get_by_test_id("silence-author").fill("Ann")
    page.get_by_test_id("silence-comment").fill("a backfill runs")
    page.get_by_test_id("silence-save").click()

    expect(page.get_by_test_id("page-silence")).to_be_visible()
    expect(page.get_by_test_id("silence")).to_have_attribute("data-state", "active")
    expect(page.get_by_test_id("preview-alert")).to_contain_text("emails")
    page.get_by_test_id("tab-alerts").click()
    expect(emails).to_have_attribute("data-alert-state", "suppressed")
    expect(emails.get_by_test_id("muted-by")).to_contain_text("Silenced by Ann")
    expect(group(page, "QueueDepth")).to_have_attribute("data-alert-state", "active")

    emails.get_by_test_id("silenced-by").click()
    page.get_by_test_id("silence-expire").click()
    page.get_by_test_id("silence-expire-sure").click()
    expect(page.get_by_test_id("silence")).to_have_attribute("data-state", "expired")
    page.get_by_test_id("tab-alerts").click()
    expect(emails).to_have_attribute("data-alert-state", "active")
    page.goto(f"{visit.base}/#/silences/new")
    expect(page.get_by_test_id("silence-author")).to_have_value("Ann")
    visit.clean()


def test_a_silence_is_changed_in_place(visit: Visit, alerting: Alerting) -> None:
    """Another end for a silence that counts already keeps its id and its start."""
    page = visit.open('/silences/new?filter={alertname="Nothing"}')
    expect(page.get_by_test_id("preview")).to_have_attribute("data-count", "0")
    page.get_by_test_id("silence-author").fill("Ben")
    page.get_by_test_id("silence-comment").fill("to be changed")
    page.get_by_test_id("silence-save").click()
    expect(page.get_by_test_id("page-silence")).to_be_visible()
    before = [s for s in alerting.ask("/api/v2/silences") if s["comment"] == "to be changed"]

    page.get_by_test_id("silence-edit").click()
    page.get_by_role("button", name="1 week").click()
    page.get_by_test_id("silence-save").click()

    expect(page.get_by_test_id("page-silence")).to_be_visible()
    expect(page.get_by_test_id("silence")).to_contain_text("6 d 23 h")
    after = [s for s in alerting.ask("/api/v2/silences") if s["comment"] == "to be changed"]
    assert [s["id"] for s in before] == [s["id"] for s in after]
    assert [s["startsAt"] for s in before] == [s["startsAt"] for s in after]
    visit.clean()


def test_a_pattern_that_is_none_is_said_at_its_field(visit: Visit) -> None:
    """What the server says about a matcher stands below the matchers, before anything is sent."""
    page = visit.open('/silences/new?filter=alertname=~"("')

    expect(page.get_by_test_id("problem-matchers")).to_be_visible()


def test_a_held_back_alert_names_the_one_that_holds_it_back(visit: Visit) -> None:
    """An inhibited alert is shown as muted, with a link to the alert that fires instead."""
    page = visit.open('/alerts?filter=alertname="SlowQueries"')
    slow = group(page, "SlowQueries")

    expect(slow).to_have_attribute("data-alert-state", "suppressed")
    expect(slow.get_by_test_id("inhibited-by")).to_have_text("DatabaseDown")
    slow.get_by_test_id("inhibited-by").click()
    expect(group(page, "DatabaseDown")).to_be_visible()
    visit.clean()


def test_a_label_narrows_the_alerts_down(visit: Visit) -> None:
    """A click on a label shows what has it; taking the filter away shows everything again."""
    page = visit.open("/alerts")
    expect(group(page, "DatabaseDown")).to_be_visible()
    group(page, "QueueDepth").get_by_test_id("label-chip").filter(has_text="queue=emails").click()

    expect(group(page, "DatabaseDown")).to_have_count(0)
    expect(page.get_by_test_id("alert")).to_have_count(1)
    page.get_by_test_id("filter-chip").click()
    expect(group(page, "DatabaseDown")).to_be_visible()
    visit.clean()


def test_a_rule_file_that_cannot_be_loaded_is_said_on_the_page(
    visit: Visit, alerting: Alerting
) -> None:
    """The banner shows file and reason after a bad reload, and goes after a good one."""
    try:
        alerting.rules.write_text(RULES.replace("vector(2.5)", "vector(2.5"))
        assert httpx.post(f"{alerting.url}/-/reload").status_code == 500
        page = visit.open("/alerts")
        expect(page.get_by_test_id("rule-errors")).to_contain_text("rules.yml")
        expect(group(page, "DatabaseDown")).to_be_visible()
    finally:
        alerting.rules.write_text(RULES)
        assert httpx.post(f"{alerting.url}/-/reload").status_code == 200
    page.reload()
    expect(group(page, "DatabaseDown")).to_be_visible()
    expect(page.get_by_test_id("rule-errors")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_fit_a_phone(
    browser: Browser, alerting: Alerting, screenshots: Path, theme: str
) -> None:
    """No page of alerting is wider than a phone, in either theme."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
        color_scheme="dark" if theme == "dark" else "light",
    )  # fmt: skip
    visit = Visit(context.new_page(), alerting.url)
    for path in ("/alerts", "/silences", "/rules", "/notifications", "/silences/new", "/incidents"):
        page = visit.open(path)
        expect(page.get_by_test_id(re.compile("^page-"))).to_be_visible()
        expect(page.locator(".state-loading")).to_have_count(0)
        name = path.strip("/").replace("/", "-")
        page.screenshot(path=screenshots / f"phone-{name}-{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
    visit.clean()
    context.close()
