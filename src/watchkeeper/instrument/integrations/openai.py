"""OpenAI's client: a span, tokens, cost and retries of each call, streamed or not.

Clients of providers that speak OpenAI's protocol are told apart by their host.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.stainless import Client, wrap

__all__ = ["instrument"]

_OPERATIONS = MappingProxyType(
    {
        "/chat/completions": "chat",
        "/responses": "chat",
        "/completions": "text_completion",
        "/embeddings": "embeddings",
    }
)
_PROVIDERS = (
    ("openai.azure.com", "azure.ai.openai"),
    ("azure.com", "azure.ai.inference"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.mistral.ai", "mistral_ai"),
    ("openrouter.ai", "openrouter"),
    ("googleapis.com", "gcp.gen_ai"),
)
"""Ends of host names; the names are those of the semantic conventions where they have one."""


def instrument(host: Host) -> Callable[[], None]:
    """Record the calls of every client of OpenAI's library.

    Returns:
        A function that undoes it.
    """
    import openai
    from openai import _base_client, _legacy_response, _response

    return wrap(
        host,
        Client(
            base=_base_client,
            streams=(openai.Stream, openai.AsyncStream),
            raw=(
                _legacy_response.LegacyAPIResponse,
                _response.APIResponse,
                _response.AsyncAPIResponse,
            ),
            operations=_OPERATIONS,
            provider=_provider,
        ),
    )


def _provider(client: Any) -> str:
    name = client.base_url.host
    for end, provider in _PROVIDERS:
        if name.endswith(end):
            return provider
    return "openai"
