"""What an application says in its own words: agent runs, LLM calls, pipelines, jobs, sign-ins."""

from watchkeeper.instrument.domain.agents import AgentRun, ToolCall, agent_run, tool_call
from watchkeeper.instrument.domain.auth import auth_event
from watchkeeper.instrument.domain.health import health, health_check
from watchkeeper.instrument.domain.ingestion import Pipeline, Stage, pipeline
from watchkeeper.instrument.domain.llm import LlmCall, llm_call
from watchkeeper.instrument.domain.schedules import Schedule, schedule
from watchkeeper.instrument.domain.users import user_active
from watchkeeper.instrument.domain.work import Job, job, queue_depth

__all__ = [
    "AgentRun",
    "Job",
    "LlmCall",
    "Pipeline",
    "Schedule",
    "Stage",
    "ToolCall",
    "agent_run",
    "auth_event",
    "health",
    "health_check",
    "job",
    "llm_call",
    "pipeline",
    "queue_depth",
    "schedule",
    "tool_call",
    "user_active",
]
