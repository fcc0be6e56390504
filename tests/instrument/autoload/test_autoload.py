"""Zero code: a command's applications are observed, everything else is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.instrument.recorder.collector import collecting

from watchkeeper.instrument.autoload import path_entry, start
from watchkeeper.instrument.integrations import TABLE
from watchkeeper.testing.processes import free_port, wait_until

HERE = Path(__file__).parent


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return what ``watchkeeper run`` sets."""
    return {
        **os.environ,
        "PYTHONPATH": str(path_entry()),
        "WATCHKEEPER_AUTOLOAD": "1",
        "WATCHKEEPER_SERVICE": "plain",
        "WATCHKEEPER_TARGETS_DIR": str(tmp_path / "targets"),
        "WATCHKEEPER_SPOOL_DIR": str(tmp_path / "spool"),
        "WATCHKEEPER_ENDPOINT": "",
        **more,
    }


def python(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run *code* in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=env,
        timeout=30,
        check=False,
    )


def test_a_process_that_is_no_application_is_left_alone(tmp_path: Path) -> None:
    """Nothing of watchkeeper is imported, nothing is written, nothing is announced."""
    code = "import sys, json, logging; print([m for m in sys.modules if 'watchkeeper' in m])"
    done = python(code, environment(tmp_path))

    assert ("[]\n", "") == (done.stdout, done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_an_application_is_observed_from_its_first_import(tmp_path: Path) -> None:
    """Importing a library that we know starts watchkeeper and instruments it, beside threads."""
    code = (
        "import starlette.applications\n"
        "import watchkeeper\n"
        "from watchkeeper.instrument.integrations import installed\n"
        "print(watchkeeper.current().settings.service, installed())\n"
    )
    done = python(code, environment(tmp_path))

    assert (0, "plain ('threading', 'starlette')\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("line", "name"),
    [("from flask import Flask", "flask"), ("from celery import Celery", "celery")],
)
def test_any_library_that_is_observed_starts_it(tmp_path: Path, line: str, name: str) -> None:
    """It need not be a web framework: each library of ours will do, and is observed itself."""
    code = (
        f"{line}\nfrom watchkeeper.instrument.integrations import installed\n"
        f"print({name!r} in installed())\n"
    )
    done = python(code, environment(tmp_path))

    assert (0, "True\n") == (done.returncode, done.stdout), done.stderr


def test_every_library_of_the_table_starts_it() -> None:
    """None but the standard library's is forgotten."""
    text = (path_entry() / "sitecustomize.py").read_text("utf-8")
    missing = {
        root
        for row in TABLE
        if (root := row.library.partition(".")[0]) not in sys.stdlib_module_names
        and f'"{root}"' not in text
    }
    assert set() == missing


def test_a_tool_that_starts_programs_is_left_alone(tmp_path: Path) -> None:
    """Package managers use such libraries too, and are no applications."""
    tool = tmp_path / "poetry"
    tool.write_text("import sys, requests\nprint('watchkeeper' in sys.modules)\n")
    done = subprocess.run(
        [sys.executable, str(tool)],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=30,
        check=False,
    )
    assert ("False\n", "") == (done.stdout, done.stderr)


def test_without_the_switch_nothing_happens(tmp_path: Path) -> None:
    """The folder on the path alone starts nothing."""
    code = "import sys, sqlalchemy; print('watchkeeper' in sys.modules)"
    done = python(code, environment(tmp_path, WATCHKEEPER_AUTOLOAD=""))

    assert ("False\n", "") == (done.stdout, done.stderr)


def test_another_sitecustomize_still_runs(tmp_path: Path) -> None:
    """The one that ours hides runs too."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.theirs = __file__\n")
    env = environment(tmp_path)
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    done = python("import sys; print(sys.theirs)", env)

    assert (f"{tmp_path / 'sitecustomize.py'}\n", "") == (done.stdout, done.stderr)


def test_a_bad_setting_costs_one_line(tmp_path: Path) -> None:
    """The command still runs."""
    env = environment(tmp_path, WATCHKEEPER_SAMPLE_RATIO="lots")
    done = python("import sqlalchemy; print('ran')", env)

    assert (0, "ran\n") == (done.returncode, done.stdout)
    assert done.stderr.startswith("watchkeeper: not started: ")
    assert done.stderr.count("\n") == 1


def test_the_start_never_raises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure is told on the standard error."""
    monkeypatch.setitem(os.environ, "WATCHKEEPER_ENABLED", "perhaps")
    start()

    assert "WATCHKEEPER_ENABLED" in capsys.readouterr().err


def get(url: str) -> str:
    """Return the body, or "" while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
            return body.decode()
    except OSError:
        return ""


def served(urls: list[str]) -> float:
    """Return how many requests of the route the metrics at *urls* count together."""
    return sum(
        float(line.rpartition(" ")[2])
        for url in urls
        for line in get(url).splitlines()
        if line.startswith("http_server_request_duration_seconds_count")
        and 'http_route="/hello/{name}"' in line
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("option", ["--workers=2", "--reload"])
def test_a_plain_application_under_uvicorn_is_observed(tmp_path: Path, option: str) -> None:
    """Its workers share one target, which counts all; spans arrive even at a SIGTERM at once."""
    port = free_port()
    targets = tmp_path / "targets"
    with collecting() as sink:
        env = environment(tmp_path, WATCHKEEPER_ENDPOINT=sink.url)
        env["WATCHKEEPER_EXPORT_INTERVAL_S"] = "30"
        with subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "plainapp:app", f"--port={port}", option],
            cwd=HERE,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as server:
            try:
                assert wait_until(lambda: len(list(targets.glob("plain-*.json"))) == 1, 20)
                base = f"http://127.0.0.1:{port}/hello"
                assert wait_until(lambda: get(f"{base}/first") != "", 20)
                for _ in range(5):
                    assert get(f"{base}/you") == '{"hello":"you"}'
                urls = [
                    f"http://{json.loads(file.read_text())[0]['targets'][0]}/metrics"
                    for file in targets.glob("plain-*.json")
                ]
                counted = wait_until(lambda: served(urls) == 6, 10)
                announced = len(list(targets.glob("plain-*.json")))
            finally:
                server.send_signal(signal.SIGTERM)
                output = server.communicate(timeout=80)[0]
        names = [span.name for span in sink.spans()]

    assert ["GET /hello/{name}"] * 6 == names
    assert counted
    assert 1 == announced == len(urls)
    assert 'event":"greeting you","service":"plain"' in output
    assert "hook" not in output
    assert list(targets.iterdir()) == []
