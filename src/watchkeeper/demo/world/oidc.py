"""A small OpenID Connect provider that says yes to everybody it knows.

Source: OpenID Connect Core 1.0 and Discovery 1.0, authorization code flow.
"""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

__all__ = ["routes"]

_CODE_S = 60.0


def routes(base_url: str) -> list[Route]:
    """Return the provider's endpoints under ``/oidc``; *base_url* is that of the world."""
    issuer = f"{base_url}/oidc"
    key = RSAKey.generate_key(2048, {"kid": "demo", "use": "sig", "alg": "RS256"}, private=True)
    codes: dict[str, dict[str, Any]] = {}

    async def discovery(_request: Request) -> Response:
        return JSONResponse(_metadata(issuer))

    async def jwks(_request: Request) -> Response:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    async def authorize(request: Request) -> Response:
        asked = request.query_params
        code = secrets.token_urlsafe(16)
        codes[code] = {
            "nonce": asked.get("nonce"),
            "client_id": asked["client_id"],
            "user": asked.get("login_hint") or "visitor",
            "expires": time.monotonic() + _CODE_S,
        }
        answer = urlencode({"code": code, "state": asked.get("state", "")})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", status_code=302)

    async def token(request: Request) -> Response:
        form = await request.form()
        grant = codes.pop(str(form.get("code")), None)
        if grant is None or grant["expires"] < time.monotonic():
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            "iss": issuer,
            "sub": grant["user"],
            "aud": grant["client_id"],
            "email": f"{grant['user']}@example.org",
            "iat": now,
            "exp": now + 600,
        }
        if grant["nonce"]:
            claims["nonce"] = grant["nonce"]
        signed = jwt.encode({"alg": "RS256", "kid": "demo"}, claims, key)
        return JSONResponse(
            {
                "access_token": f"user-{grant['user']}",
                "token_type": "Bearer",
                "expires_in": 600,
                "id_token": signed,
            }
        )

    async def userinfo(request: Request) -> Response:
        user = request.headers.get("authorization", "").removeprefix("Bearer user-")
        return JSONResponse({"sub": user, "email": f"{user}@example.org"})

    return [
        Route("/oidc/.well-known/openid-configuration", discovery),
        Route("/oidc/jwks", jwks),
        Route("/oidc/authorize", authorize),
        Route("/oidc/token", token, methods=["POST"]),
        Route("/oidc/userinfo", userinfo),
    ]


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
