"""Shows incidents of a running server, and acknowledges, takes or resolves them.

An id may be shortened to its first digits.

  watchkeeper incidents list
  watchkeeper incidents ack 3f2a --note "looking into it"
  watchkeeper incidents export 3f2a > incident.md
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

__all__ = ["HELP", "NAME", "add_server", "arguments", "ask", "run"]

NAME = "incidents"
HELP = "show incidents; acknowledge, take, resolve or export them"

_VERBS = {
    "ack": ("acknowledge", "acknowledge: the escalation ends, you take care"),
    "unack": ("unacknowledge", "take an acknowledgement back: the escalation begins anew"),
    "take": ("take", "take over from whoever acknowledged"),
    "resolve": ("resolve", "resolve, whatever the alerts do"),
    "comment": ("comment", "add a line to the timeline"),
}


def add_server(parser: argparse.ArgumentParser) -> None:
    """Declare the argument that names the server."""
    parser.add_argument(
        "--server",
        default=os.environ.get("WATCHKEEPER_SERVER", "http://127.0.0.1:8400"),
        metavar="URL",
        help="the server (or WATCHKEEPER_SERVER; default: http://127.0.0.1:8400)",
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list incidents, newest first", allow_abbrev=False)
    listing.add_argument(
        "--state",
        default="open",
        choices=("open", "triggered", "acknowledged", "resolved", "all"),
        help="which of them (default: open)",
    )
    listing.add_argument("--json", action="store_true", help="JSON instead of a table")
    add_server(listing)
    show = actions.add_parser("show", help="show one with its timeline", allow_abbrev=False)
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="JSON instead of text")
    add_server(show)
    export = actions.add_parser("export", help="print one as Markdown", allow_abbrev=False)
    export.add_argument("id", metavar="ID")
    add_server(export)
    for name, (verb, text) in _VERBS.items():
        sub = actions.add_parser(name, help=text, allow_abbrev=False)
        sub.add_argument("id", metavar="ID")
        if verb == "comment":
            sub.add_argument("note", metavar="TEXT")
        else:
            sub.add_argument("--note", default="", metavar="TEXT", help="kept in the timeline")
        sub.add_argument("--as", dest="who", default="", metavar="NAME",
                         help="who does it (default: the name of your account)")  # fmt: skip
        add_server(sub)


def run(args: argparse.Namespace) -> int:
    """Do what is asked; return 1 if the server refuses."""
    if args.action in {None, "list"}:
        return _list(args)
    number = _full_id(args.server, args.id)
    if args.action == "show":
        return _show(args, number)
    if args.action == "export":
        sys.stdout.write(ask(args.server, "GET", f"incidents/{number}.md").text)
        return 0
    from getpass import getuser

    body = {"by": args.who or getuser(), "text": args.note, "via": "cli"}
    verb = _VERBS[args.action][0]
    incident = ask(args.server, "POST", f"incidents/{number}/{verb}", body).json()
    print(_line(incident))
    return 0


def ask(server: str, method: str, path: str, body: object = None, **params: str) -> Any:
    """Return the server's answer.

    Raises:
        IncidentError: The server refuses; carries its words.
        StartError: The server does not answer.
    """
    import httpx

    from watchkeeper.errors import IncidentError, StartError

    url = f"{server.rstrip('/')}/api/watchkeeper/v1/{path}"
    try:
        answer = httpx.request(method, url, json=body, params=params, timeout=30, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StartError(
            f"the server does not answer: got {type(error).__name__} from {server}. "
            "Accepted: the address of a running server. Next: start `watchkeeper serve`, or give "
            "--server."
        ) from None
    if answer.is_success:
        return answer
    try:
        told = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        told = f"the server answered {answer.status_code}: {answer.text[:200]!r}"
    raise IncidentError(told)


def _full_id(server: str, start: str) -> str:
    from watchkeeper.errors import IncidentError

    if not start.isalnum():
        raise IncidentError(
            f"that is no id: got {start[:60]!r}. Accepted: the id of an incident, or its first "
            "digits. Next: `watchkeeper incidents list` shows them."
        )
    if len(start) >= 12:
        return start
    listed = ask(server, "GET", "incidents", state="all", limit="1000").json()["incidents"]
    found = [entry["id"] for entry in listed if entry["id"].startswith(start)]
    if len(found) != 1:
        raise IncidentError(
            f"{len(found)} incidents begin so: got {start!r}. Accepted: digits that begin exactly "
            "one id. Next: `watchkeeper incidents list --state all` shows them."
        )
    return str(found[0])


def _list(args: argparse.Namespace) -> int:
    listed = ask(args.server, "GET", "incidents", state=args.state).json()["incidents"]
    if args.json:
        import orjson

        print(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
        return 0
    for incident in listed:
        print(_line(incident))
    print(f"{len(listed)} incidents ({args.state})")
    return 0


def _line(incident: dict[str, Any]) -> str:
    from watchkeeper.server.alerts.escalation.shown import moment, plain

    owner = f"  {incident['owner']}" if incident["owner"] else ""
    opened = moment(incident["opened_ms"])
    return plain(f"{incident['id']}  {incident['state']:<12}  {opened}  {incident['title']}{owner}")


def _show(args: argparse.Namespace, number: str) -> int:
    from watchkeeper.server.alerts.escalation.shown import moment, plain

    incident = ask(args.server, "GET", f"incidents/{number}").json()
    if args.json:
        import orjson

        print(orjson.dumps(incident, option=orjson.OPT_INDENT_2).decode())
        return 0
    print(_line(incident))
    if incident["due_ms"] is not None:
        print(f"next: {moment(incident['due_ms'])} ({incident['waits_for']})")
    for alert in incident["alerts"]:
        labels = " ".join(f"{k}={v}" for k, v in sorted(alert["labels"].items()))
        print(plain(f"  {'ended ' if alert['ends_ms'] else 'firing'}  {labels}"))
    for entry in incident["timeline"]:
        who = f" {entry['who']}:" if entry["who"] else ""
        answer = entry["data"].get("answer")
        text = f"{entry['text']} ({answer})" if answer else entry["text"]
        print(plain(f"{moment(entry['at_ms'])}  {entry['kind']:<14}{who} {text}"))
    return 0
