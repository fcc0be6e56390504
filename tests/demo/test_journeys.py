"""AgentDesk end to end: its API, worker and outside world as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.demo.desk import PASSWORD, Desk, running

from watchkeeper.testing.processes import wait_until


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One AgentDesk for this file; each test brings its own people."""
    with running(Path(tmp_path_factory.mktemp("desk"))) as started:
        yield started


@pytest.fixture(autouse=True)
def _healthy(desk: Desk) -> Iterator[None]:
    yield
    for name in desk.faults.active():
        desk.faults.clear(name)


def test_somebody_registers_and_signs_in(desk: Desk) -> None:
    """A registered person signs in with the password and is who they say."""
    body = {"name": "ann", "password": PASSWORD, "tenant": "globex"}
    desk.api.post("/register", json=body)

    answer = desk.api.post("/login", json=body)

    token = {"Authorization": f"Bearer {answer.json()['token']}"}
    expected = {"user": "ann", "tenant": "globex", "provider": "local"}
    assert expected == desk.api.get("/me", headers=token).json()


def test_a_wrong_password_is_refused(desk: Desk) -> None:
    """A wrong password and an unknown name get the same answer: 401."""
    body = {"name": "bob", "password": PASSWORD, "tenant": "acme"}
    desk.api.post("/register", json=body)

    wrong = desk.api.post("/login", json={**body, "password": "not this one"})
    unknown = desk.api.post("/login", json={**body, "name": "nobody"})

    assert (401, 401) == (wrong.status_code, unknown.status_code)
    assert wrong.json() == unknown.json()


def test_a_name_is_taken_once(desk: Desk) -> None:
    """A second registration under a name is answered 409."""
    body = {"name": "carl", "password": PASSWORD, "tenant": "acme"}

    assert [201, 409] == [desk.api.post("/register", json=body).status_code for _ in range(2)]


@pytest.mark.parametrize("path", ["/me", "/documents", "/search?q=a", "/usage"])
def test_what_is_private_needs_a_token(desk: Desk, path: str) -> None:
    """Without a token, and with a forged one, the API answers 401."""
    forged = {"Authorization": "Bearer forged"}

    assert 401 == desk.api.get(path).status_code
    assert 401 == desk.api.get(path, headers=forged).status_code


def test_somebody_signs_in_through_the_identity_provider(desk: Desk) -> None:
    """The OAuth journey ends with a token of AgentDesk's, for the person that consented."""
    with httpx.Client(timeout=20.0) as browser:
        start = browser.get(f"{desk.settings.app_url}/oauth/login", params={"who": "dora"})
        consent = browser.get(start.headers["location"])
        back = browser.get(consent.headers["location"])

    token = {"Authorization": f"Bearer {back.json()['token']}"}
    expected = {"user": "dora@example.org", "tenant": "globex", "provider": "idp"}
    assert expected == desk.api.get("/me", headers=token).json()


def test_a_code_of_the_identity_provider_is_good_once(desk: Desk) -> None:
    """Coming back a second time with the same code is refused."""
    with httpx.Client(timeout=20.0) as browser:
        start = browser.get(f"{desk.settings.app_url}/oauth/login", params={"who": "emil"})
        consent = browser.get(start.headers["location"])
        cookies = dict(browser.cookies)
        browser.get(consent.headers["location"])
        again = httpx.get(consent.headers["location"], cookies=cookies, timeout=20.0)

    assert 401 == again.status_code


@pytest.mark.parametrize("agent", ["support", "research", "billing"])
def test_an_agent_calls_a_tool_and_answers(desk: Desk, agent: str) -> None:
    """A run plans with a model, calls a tool, answers with a model, and knows its price."""
    person = desk.person()
    body = {"question": "When does our contract renew?"}

    answers = [desk.api.post(f"/agents/{agent}/run", json=body, headers=person) for _ in range(5)]

    # The provider fails one call in forty, as real ones do; five runs do not all fail.
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert {200, 503} >= {answer.status_code for answer in answers}
    assert good
    assert all(run["answer"] and run["steps"] == 3 for run in good)
    assert all(run["cost_usd"] > 0 for run in good)
    assert desk.api.get("/usage", headers=person).json()[agent] > 0


def test_unknown_agents_and_bad_bodies_are_told_apart(desk: Desk) -> None:
    """An unknown agent is 404, a question that is missing 422."""
    person = desk.person()

    unknown = desk.api.post("/agents/nobody/run", json={"question": "?"}, headers=person)
    empty = desk.api.post("/agents/support/run", json={}, headers=person)

    assert (404, 422) == (unknown.status_code, empty.status_code)


def test_a_document_is_ingested_and_found(desk: Desk) -> None:
    """What is uploaded is ingested by the worker, and found by its tenant alone."""
    owner, stranger = desk.person("initech"), desk.person("umbrella")
    body = {"title": "terms", "body": "Refunds take thirty days.\n\nThe zebra clause applies."}

    number = desk.api.post("/documents", json=body, headers=owner).json()["id"]

    assert wait_until(lambda: desk.document(number, owner)["status"] == "indexed", 20)
    found = desk.api.get("/search", params={"q": "zebra"}, headers=owner).json()
    assert ["The zebra clause applies."] == found["results"]
    other = desk.api.get("/search", params={"q": "zebra"}, headers=stranger).json()
    assert [] == other["results"]
    assert 404 == desk.api.get(f"/documents/{number}", headers=stranger).status_code


def test_a_job_that_fails_is_tried_again(desk: Desk) -> None:
    """Every tenth document's digest fails once and succeeds at its second try."""
    owner = desk.person()

    def ended(outcome: str) -> float:
        labels = f'job_name="digest",job_queue="agentdesk",job_outcome="{outcome}"'
        return desk.metric("worker", "job_run_duration_seconds_count", labels)

    before = ended("retry")
    body = {"title": "terms", "body": "One paragraph."}
    for _ in range(10):
        desk.api.post("/documents", json=body, headers=owner)

    assert wait_until(lambda: ended("retry") == before + 1, 20)
    assert wait_until(lambda: ended("success") >= 10, 20)
    assert 0 == ended("error")


def test_an_empty_document_is_rejected(desk: Desk) -> None:
    """A document without text ends as rejected, not as failed for ever."""
    owner = desk.person()

    number = desk.api.post("/documents", json={"title": "x", "body": ""}, headers=owner).json()

    assert wait_until(lambda: desk.document(number["id"], owner)["status"] == "rejected", 20)


def test_a_worker_that_is_asked_to_stop_finishes_its_job(desk: Desk) -> None:
    """SIGTERM lets the running job end, so that no document stays half ingested."""
    owner = desk.person()
    desk.faults.set("queue_backlog", 1.0)
    body = {"title": "slow", "body": "A job of three seconds."}

    def begun() -> int:
        log = desk.supervisor.tail("worker", 10_000)
        return log.count("Executing watchkeeper.demo.jobs.ingest_document")

    before = begun()
    starts = desk.supervisor.tail("worker", 10_000).count("consumer started")
    number = desk.api.post("/documents", json=body, headers=owner).json()["id"]
    assert wait_until(lambda: begun() > before, 10)

    code = desk.supervisor.stop("worker")

    desk.supervisor.restart("worker")
    assert wait_until(
        lambda: desk.supervisor.tail("worker", 10_000).count("consumer started") > starts, 30
    )
    assert 0 == code
    assert "indexed" == desk.document(number, owner)["status"]


def test_the_errors_fault_fails_requests_until_it_is_cleared(desk: Desk) -> None:
    """At full strength every request is a 500; cleared, none is."""
    person = desk.person()
    desk.faults.set("errors", 1.0)

    failed = {desk.api.get("/documents", headers=person).status_code for _ in range(8)}
    desk.faults.clear("errors")
    healed = {desk.api.get("/documents", headers=person).status_code for _ in range(8)}

    assert ({500}, {200}) == (failed, healed)


def test_the_database_fault_answers_503_and_leaks_no_connection(desk: Desk) -> None:
    """While the database is down requests get 503; afterwards the whole pool is there again."""
    person = desk.person()
    desk.faults.set("database_down", 1.0)

    down = {desk.api.get("/me", headers=person).status_code for _ in range(40)}
    alive = desk.api.get("/healthz").status_code
    desk.faults.clear("database_down")
    up = {desk.api.get("/me", headers=person).status_code for _ in range(40)}

    assert ({503}, 200, {200}) == (down, alive, up)


def test_the_slowness_fault_makes_requests_slow(desk: Desk) -> None:
    """A slow request takes the second that the switch promises."""
    person = desk.person()
    desk.faults.set("slowness", 1.0)

    answer = desk.api.get("/documents", headers=person)

    assert 200 == answer.status_code
    assert answer.elapsed.total_seconds() >= 1.0


def test_the_cost_fault_makes_runs_dear(desk: Desk) -> None:
    """With the switch on, a run costs at least ten times as much."""
    person = desk.person()

    def cost() -> float:
        for _ in range(5):
            body = {"question": "Why?"}
            answer = desk.api.post("/agents/research/run", json=body, headers=person)
            if answer.status_code == 200:
                return float(answer.json()["cost_usd"])
        pytest.fail("five runs in a row failed")

    usual = cost()
    desk.faults.set("cost_spike", 1.0)

    assert cost() >= 10 * usual


def test_the_loop_fault_sends_agents_in_circles(desk: Desk) -> None:
    """With the switch on, a run calls one tool until it gives up, and is counted as a loop."""
    person = desk.person()
    desk.faults.set("agent_loops", 1.0)
    body = {"question": "When does our contract renew?"}

    answers = [desk.api.post("/agents/support/run", json=body, headers=person) for _ in range(4)]

    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert good
    assert {"I could not find that out."} == {run["answer"] for run in good}
    assert len(good) <= desk.metric("api", "agent_loops_total", 'gen_ai_agent_name="support"')


def test_the_reports_fault_starves_reports_and_nothing_else(desk: Desk) -> None:
    """Reports that find no connection get 503 while the other pages answer."""
    person = desk.person()
    desk.faults.set("slow_reports", 1.0)

    with ThreadPoolExecutor(6) as pool:
        reports = list(
            pool.map(lambda _: desk.api.get("/usage", headers=person).status_code, range(6))
        )
    page = desk.api.get("/me", headers=person).status_code
    desk.faults.clear("slow_reports")

    assert {200, 503} == set(reports)
    assert 200 == page
    assert wait_until(lambda: desk.api.get("/usage", headers=person).status_code == 200, 10)
    assert 0 < desk.metric("api", "db_client_connection_timeouts_total", '"reports"')


def test_readiness_follows_the_health_checks(desk: Desk) -> None:
    """While the database refuses, its check fails and the API says that it is not ready."""

    def status() -> tuple[int, str]:
        answer = desk.api.get("/readyz")
        return answer.status_code, answer.json()["checks"]["database"]["status"]

    assert wait_until(lambda: status() == (200, "healthy"), 20)
    desk.faults.set("database_down", 1.0)
    assert wait_until(lambda: status() == (503, "unhealthy"), 20)
    desk.faults.clear("database_down")

    assert wait_until(lambda: status() == (200, "healthy"), 20)


def test_a_token_in_a_log_line_is_masked(desk: Desk) -> None:
    """The link that AgentDesk logs by mistake is stored without its token."""
    desk.person()

    lines = [
        line for line in desk.supervisor.tail("api", 10_000).splitlines() if "welcome mail" in line
    ]

    assert lines
    assert all(line.count("/welcome?token=[redacted]") == 1 for line in lines)


def test_late_and_overlapping_runs_are_counted(desk: Desk) -> None:
    """The synchronisation misses runs and overlaps with itself as its schedule is declared."""

    def counted(what: str) -> float:
        return desk.metric("worker", f"job_{what}_runs_total", 'job_name="sync_customers"')

    assert wait_until(lambda: counted("missed") > 0 and counted("overlapping") > 0, 50)


def test_every_process_announces_its_metrics(desk: Desk) -> None:
    """The API and the worker each leave one target to be scraped."""
    names = sorted(path.name.rsplit("-", 1)[0] for path in desk.settings.targets_dir.iterdir())

    assert ["agentdesk-api", "agentdesk-worker"] == names
