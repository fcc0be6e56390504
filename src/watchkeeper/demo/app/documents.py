"""Documents: uploaded here, ingested by the worker, searched here."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from watchkeeper import get_logger
from watchkeeper.demo.app.database import report_session, session
from watchkeeper.demo.app.identity import CurrentUser
from watchkeeper.demo.jobs import ingest_document
from watchkeeper.demo.tables import Chunk, Document, Usage

__all__ = ["router", "search_chunks"]

_PAGE = 20
router = APIRouter()
log = get_logger(__name__)
Session = Annotated[AsyncSession, Depends(session)]
ReportSession = Annotated[AsyncSession, Depends(report_session)]


class Upload(BaseModel):
    """A document to ingest."""

    title: str = Field(min_length=1, max_length=200)
    body: str = Field(max_length=100_000)


@router.post("/documents", status_code=202)
async def upload(body: Upload, user: CurrentUser, db: Session) -> dict[str, Any]:
    """Keep a document and queue its ingestion."""
    document = Document(tenant=user.tenant, owner_id=user.id, title=body.title, body=body.body)
    db.add(document)
    await db.commit()
    await run_in_threadpool(ingest_document, document.id, time.time())
    log.info("document accepted", document=document.id, characters=len(body.body))
    return {"id": document.id, "status": document.status}


@router.get("/documents")
async def listing(user: CurrentUser, db: Session) -> list[dict[str, Any]]:
    """Return the newest documents of the user's tenant."""
    found = await db.scalars(
        select(Document)
        .where(Document.tenant == user.tenant)
        .order_by(Document.id.desc())
        .limit(_PAGE)
    )
    return [{"id": doc.id, "title": doc.title, "status": doc.status} for doc in found]


@router.get("/documents/{number}")
async def one(number: int, user: CurrentUser, db: Session) -> dict[str, Any]:
    """Return one document; 404 if the tenant has none of that number."""
    document = await db.get(Document, number)
    if document is None or document.tenant != user.tenant:
        raise HTTPException(404, "no such document")
    return {"id": document.id, "title": document.title, "status": document.status}


async def search_chunks(db: AsyncSession, tenant: str, words: str) -> list[str]:
    """Return pieces of the tenant's documents that hold the words."""
    found = await db.scalars(
        select(Chunk.text)
        .where(Chunk.tenant == tenant, Chunk.text.contains(words[:80]))
        .order_by(Chunk.id.desc())
        .limit(5)
    )
    return list(found)


@router.get("/search")
async def search(q: str, user: CurrentUser, db: Session) -> dict[str, Any]:
    """Search the tenant's documents."""
    return {"results": await search_chunks(db, user.tenant, q)}


@router.get("/usage")
async def usage(user: CurrentUser, db: ReportSession) -> dict[str, int]:
    """Return the tokens that each agent took for the tenant."""
    rows = await db.execute(
        select(Usage.agent, func.sum(Usage.tokens))
        .where(Usage.tenant == user.tenant)
        .group_by(Usage.agent)
    )
    return {agent: int(tokens) for agent, tokens in rows}
