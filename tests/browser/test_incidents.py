"""Incidents in a real browser: somebody takes one, says what is done, and resolves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.conftest import Alerting
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


def row(page: Page, name: str) -> Locator:
    """Return an incident in the list."""
    return page.get_by_test_id("incident").filter(has_text=name)


def test_an_alert_is_acknowledged_from_its_card(visit: Visit) -> None:
    """The first press asks for a name; then the card and the list say who has it."""
    page = visit.open("/alerts")
    card = page.locator('[data-testid="alert-group"][data-name="QueueDepth"]')
    expect(card.get_by_test_id("group-incident")).to_have_text("nobody has it")
    card.get_by_test_id("act-acknowledge").click()
    page.get_by_test_id("act-name").fill("Ann")
    page.get_by_test_id("act-send").click()

    expect(card.get_by_test_id("group-incident")).to_have_text("Ann has it")
    expect(card.get_by_test_id("act-acknowledge")).to_have_count(0)
    page.get_by_test_id("nav-incidents").click()
    expect(row(page, "QueueDepth")).to_have_attribute("data-state", "acknowledged")
    visit.clean()


def test_an_incident_tells_what_was_done(visit: Visit, tmp_path: Path) -> None:
    """Acknowledge, comment and un-acknowledge stand in the timeline, and in the exported page."""
    page = visit.open("/incidents")
    row(page, "DatabaseDown").get_by_test_id("incident-link").click()
    head = page.get_by_test_id("incident-head")
    expect(head).to_have_attribute("data-state", "triggered")
    told = page.get_by_test_id("notification").first
    expect(told).to_contain_text("team")
    expect(told).to_contain_text("HTTP 200")
    page.get_by_test_id("act-acknowledge").click()
    page.get_by_test_id("act-name").fill("Ben")
    page.get_by_test_id("act-send").click()
    expect(head).to_have_attribute("data-state", "acknowledged")
    expect(head).to_contain_text("Ben has it")
    expect(page.get_by_test_id("act-take")).to_have_count(0)

    page.get_by_test_id("act-comment").click()
    page.get_by_test_id("act-text").fill("failing over to db-2")
    page.get_by_test_id("act-send").click()
    entries = page.get_by_test_id("timeline-entry")
    comment = entries.filter(has_text="failing over to db-2")
    expect(comment).to_have_attribute("data-kind", "comment")
    expect(comment).to_contain_text("Ben")
    page.get_by_test_id("act-unacknowledge").click()
    page.get_by_test_id("act-send").click()
    expect(head).to_have_attribute("data-state", "triggered")

    with page.expect_download() as exported:
        page.get_by_test_id("export").click()
    exported.value.save_as(tmp_path / "incident.md")
    text = (tmp_path / "incident.md").read_text(encoding="utf-8")
    assert text.startswith("# Incident ")
    assert "failing over to db" in text
    visit.clean()


def test_a_refused_act_says_why(visit: Visit) -> None:
    """Who resolves what somebody else has resolved meanwhile reads so, and sees the new state."""
    page = visit.open("/incidents")
    row(page, "DiskFull").get_by_test_id("incident-link").click()
    expect(page.get_by_test_id("incident-head")).to_have_attribute("data-state", "triggered")
    page.get_by_test_id("act-resolve").click()
    page.get_by_test_id("act-name").fill("Cleo")
    identity = page.url.rpartition("/")[2]
    answer = page.request.post(
        f"{visit.base}/api/watchkeeper/v1/incidents/{identity}/resolve", data={"by": "Ann"}
    )
    assert answer.ok
    page.get_by_test_id("act-send").click()

    expect(page.get_by_test_id("act-problem")).to_contain_text("resolved already, by Ann")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("incident-head")).to_have_attribute("data-state", "resolved")


def test_who_is_on_call_is_explained_without_a_file(visit: Visit) -> None:
    """Without schedules, the panel says how to write some."""
    page = visit.open("/incidents")

    expect(page.get_by_test_id("oncall")).to_contain_text("escalation.yml")
    visit.clean()
