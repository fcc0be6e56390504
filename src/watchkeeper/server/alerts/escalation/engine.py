"""The rules of escalation, pure: an incident, an event and an instant in; what is to be done out.

A timer that ended long ago (the server was away) acts once, and the next one counts from now, so
that a restart neither loses a step nor tells several at once.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from watchkeeper.server.alerts.escalation.incident import (
    Action,
    AlertsResolved,
    ByPerson,
    CancelPages,
    Due,
    Entry,
    Event,
    Incident,
    Outcome,
    Page,
    Reported,
    State,
    Tell,
    incident_id,
)
from watchkeeper.server.alerts.escalation.model import Escalation, Policy, Target
from watchkeeper.server.alerts.escalation.oncall import reach, window_end_ms
from watchkeeper.server.alerts.notification import Notification

__all__ = ["advance", "known_alerts", "opened"]


def opened(event: Reported, book: Escalation, now_ms: int) -> Outcome:
    """Return the incident that the first notification of a group opens.

    Args:
        event: The notification; at least one of its alerts fires.
        book: The escalation file.
        now_ms: Unix milliseconds.
    """
    note = event.notification
    incident = Incident(
        id=incident_id(event.source, note.group_key, now_ms),
        source=event.source,
        group_key=note.group_key,
        receiver=note.receiver,
        group_labels=dict(note.group_labels),
        state=State.TRIGGERED,
        opened_ms=now_ms,
        changed_ms=now_ms,
        alerts=note.alerts,
        truncated=note.truncated,
        external_url=note.external_url,
    )
    entry = Entry("opened", incident.title, data=_labels(note))
    return _assigned(incident, (entry,), book, now_ms)


def advance(incident: Incident, event: Event, book: Escalation, now_ms: int) -> Outcome:
    """Return what *event* makes of *incident*.

    Args:
        incident: As it was stored.
        event: What happened; `Due` when it is not known whether anything did.
        book: The escalation file as it is now.
        now_ms: Unix milliseconds.

    Returns:
        The new incident and what is to be done, in order. The same event on the same incident
        gives the same pages under the same keys. `Outcome.refused` says why a person's request
        changes nothing.
    """
    if isinstance(event, Due):
        return _due(incident, book, now_ms)
    if isinstance(event, Reported):
        return _reported(incident, event.notification, book, now_ms)
    if isinstance(event, AlertsResolved):
        return _alerts_resolved(incident, event.notification, now_ms)
    return _by_person(incident, event, book, now_ms)


def known_alerts(incident: Incident, note: Notification) -> bool:
    """Tell whether every firing alert of *note* was in *incident* already, since the same time."""
    known = {(alert.fingerprint, alert.starts_ms) for alert in incident.alerts}
    return all((alert.fingerprint, alert.starts_ms) in known for alert in note.firing)


# Alerts


def _reported(incident: Incident, note: Notification, book: Escalation, now_ms: int) -> Outcome:
    if incident.state is State.RESOLVED:
        return Outcome(replace(incident, alerts=note.alerts, truncated=note.truncated))
    before = incident
    incident = replace(
        incident,
        alerts=note.alerts,
        truncated=note.truncated,
        external_url=note.external_url or incident.external_url,
    )
    came, went = _difference(before, incident)
    actions: tuple[Action, ...] = ()
    if came or went:
        incident = replace(incident, changed_ms=now_ms)
        text = f"{came} began to fire, {went} ended: {incident.title}"
        actions = (Entry("changed", text, data=_labels(note)),)
    if not incident.policy:
        return _assigned(incident, actions, book, now_ms)
    worse = incident.severities & book.page_severities and not (
        before.severities & book.page_severities
    )
    if worse and incident.state is State.ACKNOWLEDGED:
        why = "an alert of a severity that always pages joined an acknowledged incident"
        return _restarted(incident, (*actions, Entry("unacknowledge", why)), "alerts", book, now_ms)
    if incident.wait == "quiet":
        incident = replace(incident, due_ms=now_ms)  # what waited may not wait any more
        return _then_due(incident, actions, book, now_ms)
    return Outcome(incident, actions)


def _difference(before: Incident, after: Incident) -> tuple[int, int]:
    old = {(alert.fingerprint, alert.starts_ms) for alert in before.alerts if alert.firing}
    new = {(alert.fingerprint, alert.starts_ms) for alert in after.alerts if alert.firing}
    return len(new - old), len(old - new)


def _alerts_resolved(incident: Incident, note: Notification | None, now_ms: int) -> Outcome:
    if note is not None:
        incident = replace(incident, alerts=note.alerts, truncated=note.truncated)
    if incident.state is State.RESOLVED:
        return Outcome(incident)
    if note is None:
        ended = tuple(replace(a, ends_ms=a.ends_ms or now_ms) for a in incident.alerts)
        incident = replace(incident, alerts=ended)
    text = "all alerts ended"
    return Outcome(
        _closed(incident, "alerts", now_ms),
        (CancelPages(), Entry("resolve", text), Tell("resolved", "")),
    )


def _closed(incident: Incident, by: str, now_ms: int) -> Incident:
    return replace(
        incident,
        state=State.RESOLVED,
        changed_ms=now_ms,
        resolved_ms=now_ms,
        resolved_by=by,
        wait="",
        due_ms=None,
    )


# Steps


def _assigned(
    incident: Incident, actions: tuple[Action, ...], book: Escalation, now_ms: int
) -> Outcome:
    """Give an incident without a policy the one that matches, and tell its first step."""
    policy = book.policy_for(incident.notification.common_labels)
    if policy is None or incident.state is not State.TRIGGERED:
        return Outcome(incident, actions)
    incident = replace(incident, policy=policy.name, wait="step", due_ms=now_ms, round=1, step=0)
    return _then_due(incident, actions, book, now_ms)


def _then_due(
    incident: Incident, actions: tuple[Action, ...], book: Escalation, now_ms: int
) -> Outcome:
    after = _due(incident, book, now_ms)
    return Outcome(after.incident, (*actions, *after.actions))


def _due(incident: Incident, book: Escalation, now_ms: int) -> Outcome:
    actions: list[Action] = []
    # A step that reaches nobody goes on to the next one at once; each turn of the loop moves on.
    while incident.due_ms is not None and incident.due_ms <= now_ms:
        if incident.wait == "acknowledged":
            why = "nobody resolved it in time after the acknowledgement"
            actions.append(Entry("unacknowledge", why))
            return _restarted(incident, tuple(actions), "timeout", book, now_ms)
        policy = book.policy(incident.policy)
        if policy is None:
            why = f"the policy {incident.policy} is gone from the escalation file"
            actions.append(Entry("note", why))
            bare = replace(incident, policy="", wait="", due_ms=None)
            return _assigned_if_other(bare, tuple(actions), book, now_ms)
        until = _quiet_until(policy, incident, book, now_ms)
        if until is not None:
            if incident.wait != "quiet":
                incident = replace(incident, wait="quiet", changed_ms=now_ms)
                text = "quiet hours: the next step waits for their end"
                actions.append(Entry("quiet", text, data={"until_ms": until}))
            incident = replace(incident, due_ms=until)
            break
        incident, told = _told(incident, policy, book, now_ms)
        actions.extend(told)
    return Outcome(incident, tuple(actions))


def _assigned_if_other(
    incident: Incident, actions: tuple[Action, ...], book: Escalation, now_ms: int
) -> Outcome:
    # The run grows, so that the new policy's steps have keys of their own.
    return _assigned(replace(incident, run=incident.run + 1), actions, book, now_ms)


def _quiet_until(policy: Policy, incident: Incident, book: Escalation, now_ms: int) -> int | None:
    severities = incident.severities
    if not severities or severities & book.page_severities:
        return None
    # Every severity that fires must be held back; the step waits until the first of them may go.
    ends = []
    for severity in severities:
        held = [
            end
            for quiet in policy.quiet_hours
            if severity in quiet.severities
            and (end := window_end_ms(quiet.window, quiet.zone, now_ms)) is not None
        ]
        if not held:
            return None
        ends.append(max(held))
    return min(ends)


def _told(
    incident: Incident, policy: Policy, book: Escalation, now_ms: int
) -> tuple[Incident, list[Action]]:
    """Tell the step at hand and set the timer of the next one."""
    last = len(policy.steps)
    if incident.step >= last:
        return _exhausted(incident, policy, book, now_ms)
    step = policy.steps[incident.step]
    why = f"step {incident.step + 1} of {last}, round {incident.round}"
    actions = _pages(incident, step.targets, why, book, now_ms)
    reached = any(isinstance(action, Page) for action in actions)
    place, wait_ms = (incident.round, incident.step + 1), step.wait_ms if reached else 0
    if incident.step + 1 >= last and incident.round <= policy.repeat:
        # A round in which nobody is reached must not be followed by the next one at once.
        place, wait_ms = (incident.round + 1, 0), step.wait_ms
    incident = replace(
        incident,
        round=place[0],
        step=place[1],
        wait="step",
        due_ms=now_ms + wait_ms,
        changed_ms=now_ms,
    )
    return incident, actions


def _exhausted(
    incident: Incident, policy: Policy, book: Escalation, now_ms: int
) -> tuple[Incident, list[Action]]:
    """Tell the fallback; then, again and again, it and whoever the last step names."""
    first = incident.round <= policy.repeat + 1
    targets: tuple[Target, ...] = policy.fallback
    actions: list[Action] = []
    if first:
        text = "nobody acknowledged after the last step"
        if not policy.fallback:
            text += "; the policy has no fallback"
        actions.append(Entry("exhausted", text))
        kind = "fallback"
    else:
        targets = (*policy.steps[-1].targets, *policy.fallback)
        kind = f"reminder {incident.round - policy.repeat - 1}"
    if targets:
        actions += _pages(incident, targets, kind, book, now_ms)
    again = policy.repeat_every_ms
    incident = replace(
        incident,
        round=max(incident.round, policy.repeat + 1) + 1,
        step=len(policy.steps),
        wait="step" if again else "",
        due_ms=now_ms + again if again else None,
        changed_ms=now_ms,
    )
    return incident, actions


def _pages(
    incident: Incident, targets: tuple[Target, ...], why: str, book: Escalation, now_ms: int
) -> list[Action]:
    found, missed = reach(book, targets, now_ms)
    place = f"{incident.id}/{incident.run}.{incident.round}.{incident.step}"
    told = ", ".join(str(target) for target in targets)
    actions: list[Action] = [Entry("step", f"{why}: {told}")]
    actions += [Entry("nobody", f"{why}: {sentence}") for sentence in missed]
    actions += [
        Page(f"{place}/{quote(one.receiver)}", one.receiver, one.user, f"{why}: {one.target}")
        for one in found
    ]
    return actions


def _restarted(
    incident: Incident, actions: tuple[Action, ...], by: str, book: Escalation, now_ms: int
) -> Outcome:
    """Begin the escalation anew, under new keys."""
    incident = replace(
        incident,
        state=State.TRIGGERED,
        changed_ms=now_ms,
        run=incident.run + 1,
        round=1,
        step=0,
        owner="",
        acknowledged_ms=None,
        wait="step" if incident.policy else "",
        due_ms=now_ms if incident.policy else None,
    )
    told = (*actions, Tell("unacknowledged", by))
    if not incident.policy:
        return _assigned(incident, told, book, now_ms)
    return _then_due(incident, told, book, now_ms)


# People


def _by_person(incident: Incident, event: ByPerson, book: Escalation, now_ms: int) -> Outcome:
    entry = Entry(event.verb, event.text, event.who, event.via, event.key)
    if event.verb == "comment":
        return Outcome(replace(incident, changed_ms=now_ms), (entry,))
    if incident.state is State.RESOLVED:
        return Outcome(
            incident, refused=f"the incident is resolved already, by {incident.resolved_by}"
        )
    if event.verb == "unacknowledge":
        if incident.state is State.TRIGGERED:
            return Outcome(incident, refused="the incident is not acknowledged")
        return _restarted(incident, (entry,), event.who, book, now_ms)
    if event.verb == "resolve":
        return Outcome(
            replace(_closed(incident, event.who, now_ms), owner=incident.owner or event.who),
            (CancelPages(), entry, Tell("resolved", event.who)),
        )
    return _acknowledged(incident, event, entry, book, now_ms)


def _acknowledged(
    incident: Incident, event: ByPerson, entry: Entry, book: Escalation, now_ms: int
) -> Outcome:
    """Acknowledge for the first time, or let another person take it over."""
    held = incident.state is State.ACKNOWLEDGED
    if held and (event.verb == "acknowledge" or incident.owner == event.who):
        return Outcome(
            incident, refused=f"the incident is acknowledged already, by {incident.owner}"
        )
    policy = book.policy(incident.policy)
    timeout_ms = policy.ack_timeout_ms if policy is not None else 0
    incident = replace(
        incident,
        state=State.ACKNOWLEDGED,
        changed_ms=now_ms,
        owner=event.who,
        acknowledged_ms=now_ms,
        wait="acknowledged" if timeout_ms else "",
        due_ms=now_ms + timeout_ms if timeout_ms else None,
    )
    if held:
        return Outcome(incident, (entry,))
    return Outcome(incident, (CancelPages(), entry, Tell("acknowledged", event.who)))


def _labels(note: Notification) -> dict[str, object]:
    return {"labels": note.common_labels, "alerts": len(note.alerts) + note.truncated}
