"""The web UI's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from watchkeeper.server.web.files import routes


@pytest.fixture
def built(tmp_path: Path) -> TestClient:
    """Return a client of a built UI, with a secret beside it."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<title>page</title>")
    (static / "assets" / "app.js").write_text("1")
    (static / "icon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    return TestClient(Starlette(routes=routes(static)))


def test_without_a_build_the_page_says_what_to_do(tmp_path: Path) -> None:
    """A source checkout answers with the command that builds the UI."""
    answer = TestClient(Starlette(routes=routes(tmp_path))).get("/")

    assert answer.status_code == 503
    assert "make ui" in answer.text


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 200, "page"),
        ("/traces/abc", 200, "page"),
        ("/assets/app.js", 200, "1"),
        ("/icon.svg", 200, "svg"),
        ("/assets/none.js", 404, ""),
        ("/api/v1/nothing", 404, ""),
        ("/v1/nothing", 404, ""),
    ],
)
def test_files_and_pages(built: TestClient, path: str, status: int, text: str) -> None:
    """Files are files, other paths are the page itself, and paths of APIs are neither."""
    answer = built.get(path)

    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets//etc/passwd",
        "/%2e%2e%2fsecret.txt",
    ],
)
def test_nothing_outside_is_served(built: TestClient, path: str) -> None:
    """No way of writing a path leads out of the folder."""
    answer = built.get(path)

    assert "secret" not in answer.text
    assert "root:" not in answer.text
