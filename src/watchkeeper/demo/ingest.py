"""A document on its way into the index: fetch, parse, chunk, embed, index."""

from __future__ import annotations

import json

from openai import OpenAI
from sqlalchemy.orm import Session

from watchkeeper import llm_call, pipeline
from watchkeeper.demo.tables import Chunk, Document

__all__ = ["ingest"]

_CHUNK_CHARS = 200
_MODEL = "text-embedding-3-small"


def ingest(
    db: Session, document: Document, world_url: str, *, uploaded_s: float, waiting: int
) -> str:
    """Ingest a document into chunks and return ``indexed`` or ``rejected``.

    Args:
        db: An open session; the caller commits.
        document: What to ingest.
        world_url: Base URL of the outside world, whose provider embeds.
        uploaded_s: When it was uploaded, Unix seconds: how new the newest data is.
        waiting: How many jobs wait.
    """
    with pipeline("documents") as run:
        run.watermark(uploaded_s)
        run.backlog(waiting)
        with run.stage("fetch", items_in=1) as stage:
            text = document.body
            stage.passed(1)
        with run.stage("parse", items_in=1) as stage:
            paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
            if not paragraphs:
                stage.rejected(1, reason="empty")
                return "rejected"
            stage.passed(1)
        with run.stage("chunk", items_in=len(paragraphs)) as stage:
            chunks = [
                paragraph[at : at + _CHUNK_CHARS]
                for paragraph in paragraphs
                for at in range(0, len(paragraph), _CHUNK_CHARS)
            ]
            stage.passed(len(chunks))
        with run.stage("embed", items_in=len(chunks)) as stage:
            vectors = _embed(chunks, world_url)
            stage.passed(len(vectors))
        with run.stage("index", items_in=len(chunks)) as stage:
            for chunk, vector in zip(chunks, vectors, strict=True):
                db.add(
                    Chunk(
                        document_id=document.id,
                        tenant=document.tenant,
                        text=chunk,
                        embedding=json.dumps(vector),
                    )
                )
            db.flush()
            stage.passed(len(chunks))
    return "indexed"


def _embed(chunks: list[str], world_url: str) -> list[list[float]]:
    with (
        OpenAI(base_url=f"{world_url}/openai/v1", api_key="demo", max_retries=1) as client,
        llm_call(provider="openai", model=_MODEL, operation="embeddings") as call,
    ):
        answer = client.embeddings.create(model=_MODEL, input=chunks)
        call.record_response(answer)
    return [entry.embedding for entry in answer.data]
