"""The agents: each plans, calls tools, and answers."""

from __future__ import annotations

from typing import Annotated, Any

from anthropic import APIError as AnthropicError
from anthropic import AsyncAnthropic
from fastapi import APIRouter, Depends, HTTPException
from openai import APIError as OpenAIError
from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from watchkeeper import agent_run, get_logger, tool_call
from watchkeeper.demo.app.database import session
from watchkeeper.demo.app.identity import CurrentUser
from watchkeeper.demo.app.models import AnthropicModel, Model, OpenAIModel, Wish
from watchkeeper.demo.app.tools import use
from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import Usage

__all__ = ["router"]

router = APIRouter()
log = get_logger(__name__)
_faults = FaultSwitch()
_world = Places.from_environment().world_url
_openai = AsyncOpenAI(base_url=f"{_world}/openai/v1", api_key="demo", max_retries=1)
_anthropic = AsyncAnthropic(base_url=f"{_world}/anthropic", api_key="demo", max_retries=1)
Session = Annotated[AsyncSession, Depends(session)]

AGENTS = {"support": "gpt-4o-mini", "research": "claude-haiku-4-5", "billing": "gpt-4o"}
"""Each agent and its model."""
_TOOL_CALLS_MAX = 6
_DEAR = {"support": "gpt-4o", "research": "claude-opus-4-1", "billing": "gpt-4o"}


class Question(BaseModel):
    """What an agent is asked."""

    question: str = Field(min_length=1, max_length=4000)
    conversation: str | None = Field(default=None, max_length=80)


def _model(agent: str) -> Model:
    name = (_DEAR if _faults.strength("cost_spike") > 0 else AGENTS)[agent]
    if name.startswith("claude"):
        return AnthropicModel(_anthropic, name)
    return OpenAIModel(_openai, name)


@router.post("/agents/{name}/run")
async def run(name: str, body: Question, user: CurrentUser, db: Session) -> dict[str, Any]:
    """Run an agent; 404 if there is none of that name, 503 if its provider fails."""
    if name not in AGENTS:
        raise HTTPException(404, "no such agent")
    try:
        with agent_run(name, conversation_id=body.conversation) as running:
            answer = await _think(_model(name), body.question, db, user.tenant)
            tokens = running.input_tokens + running.output_tokens
    except (OpenAIError, AnthropicError) as error:
        log.warning("the model's provider failed", agent=name, error=type(error).__name__)
        raise HTTPException(503, "the model is not available, try again") from None
    db.add(Usage(tenant=user.tenant, agent=name, tokens=tokens))
    await db.commit()
    return {"answer": answer, "steps": running.steps, "cost_usd": running.cost_usd}


async def _think(model: Model, question: str, db: AsyncSession, tenant: str) -> str:
    results: list[tuple[Wish, str]] = []
    wishes = await model.plan(question)
    while True:
        results += [(wish, await _call(wish, db, tenant)) for wish in wishes]
        reply = await model.answer(question, results)
        if not reply.wishes:
            return reply.text
        if len(results) >= _TOOL_CALLS_MAX:
            log.warning("the agent went in circles", tool_calls=len(results))
            return "I could not find that out."
        wishes = reply.wishes


async def _call(wish: Wish, db: AsyncSession, tenant: str) -> str:
    try:
        with tool_call(wish.name, call_id=wish.id, arguments=wish.arguments):
            return await use(wish.name, wish.arguments, db, tenant)
    except (LookupError, ValueError) as error:
        return f"the tool failed: {error}"
