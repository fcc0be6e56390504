"""Every page of a running demo shows what it should, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.browser.visit import Visit

pytestmark = pytest.mark.timeout(1200)

Theme = Literal["light", "dark"]
_WAIT_MS = 20_000


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> Theme:
    """Return each theme in turn."""
    chosen: Theme = request.param
    return chosen


@pytest.fixture
def visit(browser: Browser, demo: str, theme: Theme) -> Iterator[Visit]:
    """Yield a fresh page in a theme."""
    context = browser.new_context(
        color_scheme=theme, viewport={"width": 1440, "height": 1000}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(_WAIT_MS)
    expect.set_options(timeout=_WAIT_MS)
    yield Visit(page, demo)
    context.close()


def settled(results: Locator, asked: str = "#/") -> None:
    """Wait until the page asks for *asked* and the results answer what it asks for."""
    expect(results.page).to_have_url(re.compile(re.escape(asked)))
    expect(results).to_have_attribute("aria-busy", "false")
    expect(results).to_have_attribute("data-state", "data")


def background(page: Page) -> int:
    """Return the brightness of the page's background, 0 to 255."""
    colour = str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    red, green, blue = (int(number) for number in re.findall(r"\d+", colour)[:3])
    return (red + green + blue) // 3


@pytest.mark.parametrize("uid", ["overview", "agents", "work", "authentication"])
def test_every_panel_of_a_dashboard_has_data(
    visit: Visit, theme: Theme, screenshots: Path, uid: str
) -> None:
    """Each panel draws data in the theme that the system asks for."""
    page = visit.open(f"/d/{uid}")
    panels = page.locator('[data-testid^="panel-"]')
    expect(panels.first).to_be_visible()
    for panel in panels.all():
        panel.scroll_into_view_if_needed()
        settled(panel)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=screenshots / f"{uid}-{theme}.png", full_page=True)

    assert (background(page) > 127) == (theme == "light")
    assert panels.count() >= 4
    visit.clean()


def test_a_trace_is_found_and_opened(visit: Visit, theme: Theme, screenshots: Path) -> None:
    """The search lists traces with errors; one opens as a gantt whose spans show details."""
    page = visit.open("/traces")
    expect(page.get_by_test_id("trace-row").first).to_be_visible()
    page.screenshot(path=screenshots / f"traces-{theme}.png")
    page.get_by_test_id("trace-name").fill("POST /agents/{name}/run")
    page.get_by_test_id("trace-min").fill("200ms")
    page.get_by_test_id("trace-search").click()
    settled(page.get_by_test_id("trace-results"), "min=200ms")
    row = page.get_by_test_id("trace-row").filter(has_text="/agents/{name}/run").first
    expect(row).to_be_visible()
    row.click()
    spans = page.get_by_test_id("span-row")
    expect(spans.first).to_contain_text("POST /agents/{name}/run")
    expect(page.get_by_text("execute_tool").first).to_be_visible()
    spans.first.click()
    expect(page.get_by_test_id("span-detail")).to_contain_text("http.request.method")
    page.screenshot(path=screenshots / f"trace-{theme}.png")

    visit.clean()


@pytest.mark.parametrize(
    ("path", "box", "api", "results"),
    [
        ("/traces", "trace-min", "/api/search?", "trace-results"),
        ("/logs", "log-text", "/loki/api/v1/query_range?", "log-results"),
    ],
)
def test_results_of_an_older_search_cannot_be_used(
    visit: Visit, path: str, box: str, api: str, results: str
) -> None:
    """Until the answer to a new search is there, the old results are busy and take no click."""
    page = visit.open(path)
    found = page.get_by_test_id(results)
    settled(found)
    held: list[Route] = []
    held_back = True

    def hold(route: Route) -> None:
        if held_back:
            held.append(route)
        else:
            route.continue_()

    page.route(lambda url: api in url, hold)
    page.get_by_test_id(box).fill("200ms")
    page.get_by_test_id(box).press("Enter")

    expect(found).to_have_attribute("aria-busy", "true")
    expect(found).to_have_attribute("data-state", "data")
    expect(found).to_have_attribute("inert", "")
    held_back = False
    for route in held:
        route.continue_()
    expect(found).to_have_attribute("aria-busy", "false")
    expect(found).not_to_have_attribute("inert", "")


def test_a_log_line_shows_its_fields_and_its_trace(
    visit: Visit, theme: Theme, screenshots: Path
) -> None:
    """Lines are listed; one opens with its fields and leads to its trace."""
    page = visit.open("/logs")
    rows = page.get_by_test_id("log-row")
    expect(rows.first).to_be_visible()
    # Every run of an agent is exported; of some requests the demo keeps a share of the traces only.
    page.get_by_test_id("log-text").fill("agent.run")
    page.get_by_test_id("log-text").press("Enter")
    settled(page.get_by_test_id("log-results"), "text=agent.run")
    expect(rows.filter(has_not_text="agent.run")).to_have_count(0)
    rows.first.click()
    expect(page.get_by_test_id("log-detail").first).to_contain_text("gen_ai_agent_name")
    page.screenshot(path=screenshots / f"logs-{theme}.png")
    page.get_by_test_id("log-trace").first.click()
    expect(page.get_by_test_id("span-row").first).to_be_visible()

    visit.clean()


def test_the_firing_alert_and_its_message_are_shown(
    visit: Visit, theme: Theme, screenshots: Path
) -> None:
    """The alert's group, its rule, the badge in the navigation and the delivered message are there."""
    page = visit.open("/rules")
    rule = page.locator('[data-testid="alert-rule"][data-name="ApiErrorRate"]')
    # The demo's faults come and go.
    expect(rule).to_have_attribute("data-alert-state", "firing", timeout=200_000)
    page = visit.open("/alerts")
    group = page.locator('[data-testid="alert-group"][data-name="ApiErrorRate"]')
    expect(group).to_have_attribute("data-alert-state", "active")
    expect(page.get_by_test_id("firing-count")).to_be_visible()
    page.screenshot(path=screenshots / f"alerts-{theme}.png", full_page=True)
    page.get_by_test_id("tab-notifications").click()
    told = page.get_by_test_id("notification").filter(has_text="ApiErrorRate").first
    expect(told).to_be_visible()

    visit.clean()


def test_an_empty_search_says_what_to_do(visit: Visit, theme: Theme, screenshots: Path) -> None:
    """Nothing found is said in words, not by a blank page."""
    page = visit.open("/logs")
    expect(page.get_by_test_id("log-row").first).to_be_visible()
    page.get_by_test_id("log-text").fill("no line says this")
    page.get_by_test_id("log-text").press("Enter")
    results = page.get_by_test_id("log-results")
    expect(results).to_have_attribute("data-state", "empty")
    expect(results).to_have_attribute("aria-busy", "false")
    expect(page.get_by_test_id("empty").first).to_be_visible()
    page.screenshot(path=screenshots / f"empty-{theme}.png")

    visit.clean()


def test_the_theme_can_be_changed(visit: Visit, theme: Theme) -> None:
    """The toggle turns light into dark and dark into light."""
    page = visit.open("/d/overview")
    expect(page.get_by_test_id("theme-toggle")).to_be_visible()
    before = background(page)
    page.get_by_test_id("theme-toggle").click()

    assert (before > 127) == (theme == "light")
    assert (background(page) > 127) != (theme == "light")
