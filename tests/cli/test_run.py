"""An application that knows nothing of watchkeeper appears when it is started by ``run``."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from watchkeeper.testing import EmbeddedServer, ProcessSpec, Supervisor, free_port, wait_until
from watchkeeper.verify.apis import Apis

pytestmark = pytest.mark.timeout(480)

APP = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/hello/{name}")
def hello(name: str) -> dict[str, str]:
    return {"hello": name}
"""


@pytest.mark.parametrize("flags", [("--workers", "2"), ("--reload",)])
def test_a_plain_application_is_seen(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Traces, metrics and logs of an uninstrumented FastAPI application arrive."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "plain.py").write_text(APP)
    port = free_port()
    url = f"http://127.0.0.1:{port}/hello"
    with EmbeddedServer(tmp_path / "server") as embedded, Supervisor(tmp_path / "logs") as running:
        command = [
            sys.executable, "-m", "watchkeeper.cli", "run", "--service", "plain",
            "--endpoint", embedded.url, "--targets-dir", str(embedded.targets_dir), "--",
            sys.executable, "-m", "uvicorn", "plain:app", "--app-dir", str(folder),
            "--port", str(port), *flags,
        ]  # fmt: skip
        running.start(ProcessSpec("plain", command, {"PYTHONDONTWRITEBYTECODE": "1"}, f"{url}/a"))
        running.wait_ready("plain", 60)
        for _ in range(20):
            assert 200 == httpx.get(f"{url}/b").status_code
        apis = Apis(embedded.url)

        def seen() -> bool:
            traces = apis.json("/api/search", q='{ resource.service.name = "plain" }', limit=100)
            counted = apis.total(
                'sum(http_server_request_duration_seconds_count{job="plain",http_route="/hello/{name}"})'
            )
            lines = apis.json("/loki/api/v1/query_range", query='{service_name="plain"}')
            return len(traces["traces"]) >= 21 and counted >= 21 and bool(lines["data"]["result"])

        assert wait_until(seen, 30), running.tail("plain")
        apis.close()
