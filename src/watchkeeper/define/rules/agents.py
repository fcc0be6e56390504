"""Rules on agents and their tools."""

from __future__ import annotations

from watchkeeper.define.counting import grew, share_above
from watchkeeper.define.expr import series, where
from watchkeeper.define.model import AlertRule

__all__ = ["agent_loops", "agent_success_rate", "tool_failures"]

_AGENT, _TOOL = "gen_ai.agent.name", "gen_ai.tool.name"


def agent_success_rate(
    success_min: float = 0.8, window: str = "15m", for_: str = "5m", *, at_least: int = 5
) -> AlertRule:
    """Return the alert on an agent of whose runs too few succeed.

    Runs that were cancelled count as neither: a user who leaves is no failure of the agent's.

    Args:
        success_min: Share of runs that are to succeed, 0 to 1.
        window: Over which the share is taken.
        for_: How long it must hold.
        at_least: Failed runs in *window* below which it stays silent.
    """
    by = ("job", _AGENT)
    failed = grew(series("agent.runs", where("agent.outcome", "=", "error")), window, by=by)
    ended = grew(series("agent.runs", where("agent.outcome", "!=", "cancelled")), window, by=by)
    return AlertRule(
        name="AgentSuccessRate",
        expr=share_above(failed, ended, 1 - success_min, at_least=at_least),
        severity="page",
        for_=for_,
        summary=(
            "Agent {{ $labels.gen_ai_agent_name }} fails "
            "{{ $value | humanizePercentage }} of its runs"
        ),
        description=(
            f"Over the last {window}, {{{{ $value | humanizePercentage }}}} of the runs of agent "
            "{{ $labels.gen_ai_agent_name }} of {{ $labels.job }} ended in an error. "
            f"At least {success_min:.0%} are to succeed."
        ),
        runbook="agent-success-rate.md",
        dashboard="agents#success-rate",
    )


def agent_loops(at_least: int = 3, window: str = "15m", for_: str = "0s") -> AlertRule:
    """Return the alert on agents that call a tool again and again with the same arguments.

    Args:
        at_least: Loops of one agent with one tool in *window*.
        window: In which they are counted.
        for_: How long it must hold.
    """
    loops = grew(series("agent.loops"), window, by=("job", _AGENT, _TOOL))
    return AlertRule(
        name="AgentLoops",
        expr=f"{loops} >= {at_least}",
        severity="ticket",
        for_=for_,
        summary=(
            "Agent {{ $labels.gen_ai_agent_name }} goes in circles with tool "
            "{{ $labels.gen_ai_tool_name }}"
        ),
        description=(
            f"In the last {window}, about {{{{ $value | humanize }}}} runs of agent "
            "{{ $labels.gen_ai_agent_name }} of {{ $labels.job }} called tool "
            "{{ $labels.gen_ai_tool_name }} again and again with the same arguments. "
            "Each turn costs a model call."
        ),
        runbook="agent-loops.md",
        dashboard="agents#loops",
    )


def tool_failures(
    threshold: float = 0.2, window: str = "15m", for_: str = "5m", *, at_least: int = 5
) -> AlertRule:
    """Return the alert on a tool whose calls fail.

    Args:
        threshold: Share of its calls, 0 to 1.
        window: Over which the share is taken.
        for_: How long it must hold.
        at_least: Failed calls in *window* below which it stays silent.
    """
    by, name = ("job", _TOOL), "gen_ai.execute_tool.duration"
    failed = grew(series(name, where("error.type", "!=", ""), part="count"), window, by=by)
    return AlertRule(
        name="ToolFailures",
        expr=share_above(
            failed, grew(series(name, part="count"), window, by=by), threshold, at_least=at_least
        ),
        severity="ticket",
        for_=for_,
        summary=(
            "Tool {{ $labels.gen_ai_tool_name }} fails {{ $value | humanizePercentage }} of its calls"
        ),
        description=(
            f"Over the last {window}, {{{{ $value | humanizePercentage }}}} of the calls of tool "
            "{{ $labels.gen_ai_tool_name }} of {{ $labels.job }} failed. "
            f"The limit is {threshold:.4g}."
        ),
        runbook="tool-failures.md",
        dashboard="agents#tool-failures",
    )
