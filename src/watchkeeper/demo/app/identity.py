"""Registration, passwords, OAuth and tokens."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from authlib.integrations.starlette_client import OAuth, OAuthError
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from watchkeeper import auth_event, bind, get_logger
from watchkeeper.demo.app.database import session
from watchkeeper.demo.places import Places
from watchkeeper.demo.tables import User

__all__ = ["CurrentUser", "router"]

_TOKEN_S = 3600
_hasher = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
_signer = URLSafeTimedSerializer("agentdesk-demo", salt="token")
_bearer = HTTPBearer(auto_error=False)
_places = Places.from_environment()
_oauth = OAuth()
_oauth.register(
    name="idp",
    server_metadata_url=f"{_places.world_url}/oidc/.well-known/openid-configuration",
    client_id="agentdesk",
    client_secret="not-a-secret-in-a-demo",  # noqa: S106 - the provider is local and asks nobody
    client_kwargs={"scope": "openid email"},
)

router = APIRouter()
log = get_logger(__name__)
Session = Annotated[AsyncSession, Depends(session)]


class Credentials(BaseModel):
    """A name and a password."""

    name: str = Field(min_length=2, max_length=80)
    password: str = Field(min_length=6, max_length=200)
    tenant: str = Field(default="acme", max_length=40)


def _token(user: User) -> dict[str, Any]:
    return {"token": _signer.dumps(user.id), "user": user.name, "tenant": user.tenant}


@router.post("/register", status_code=201)
async def register(body: Credentials, db: Session) -> dict[str, Any]:
    """Make a user; 409 if the name is taken."""
    if await db.scalar(select(User.id).where(User.name == body.name)):
        auth_event("register", method="password", outcome="failure", reason="name_taken")
        raise HTTPException(409, "that name is taken")
    hashed = await run_in_threadpool(_hasher.hash, body.password)
    user = User(name=body.name, tenant=body.tenant, password_hash=hashed, provider="local")
    db.add(user)
    await db.commit()
    auth_event("register", method="password", outcome="success", user_id=str(user.id))
    # A secret in a log line, left in by mistake as in every product: what is stored is a mask.
    log.info("welcome mail sent", link=f"{_places.app_url}/welcome?token={secrets.token_hex(16)}")
    return _token(user)


def _matches(hashed: str | None, password: str) -> bool:
    try:
        return hashed is not None and _hasher.verify(hashed, password)
    except VerificationError:
        return False


@router.post("/login")
async def login(body: Credentials, db: Session) -> dict[str, Any]:
    """Return a token for a name and password; 401 if they do not match."""
    user = await db.scalar(select(User).where(User.name == body.name))
    if user is None or not await run_in_threadpool(_matches, user.password_hash, body.password):
        reason = "bad_password" if user is not None else "unknown_user"
        auth_event("login", method="password", outcome="failure", reason=reason)
        raise HTTPException(401, "name and password do not match")
    auth_event("login", method="password", outcome="success", user_id=str(user.id))
    return _token(user)


@router.get("/oauth/login")
async def oauth_login(request: Request, who: str = "visitor") -> Any:
    """Send the browser to the identity provider."""
    callback = f"{_places.app_url}/oauth/callback"
    return await _oauth.idp.authorize_redirect(request, callback, login_hint=who)


@router.get("/oauth/callback", response_model=None)
async def oauth_callback(request: Request, db: Session) -> RedirectResponse | dict[str, Any]:
    """Take the provider's answer, and make the user known at the first time."""
    try:
        answer = await _oauth.idp.authorize_access_token(request)
    except OAuthError as error:
        auth_event(
            "login", method="oauth", provider="idp", outcome="failure", reason=str(error.error)
        )
        raise HTTPException(401, "the identity provider refused") from None
    name = answer["userinfo"]["email"]
    user = await db.scalar(select(User).where(User.name == name))
    if user is None:
        user = User(name=name, tenant="globex", provider="idp")
        db.add(user)
        await db.commit()
        auth_event(
            "register", method="oauth", provider="idp", outcome="success", user_id=str(user.id)
        )
    auth_event("login", method="oauth", provider="idp", outcome="success", user_id=str(user.id))
    return _token(user)


async def current_user(
    db: Session,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> AsyncIterator[User]:
    """Yield who sent the request, named in its log lines and spans; 401 without a valid token."""
    if sent is not None:
        try:
            number = _signer.loads(sent.credentials, max_age=_TOKEN_S)
        except BadSignature:
            number = None
        user = None if number is None else await db.get(User, number)
        if user is not None:
            with bind(user_id=str(user.id), tenant_id=user.tenant):
                yield user
            return
    raise HTTPException(401, "sign in first")


CurrentUser = Annotated[User, Depends(current_user)]


@router.get("/me")
async def me(user: CurrentUser) -> dict[str, Any]:
    """Return who is signed in."""
    return {"user": user.name, "tenant": user.tenant, "provider": user.provider}
