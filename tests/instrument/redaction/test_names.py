"""Secrets are known by the names they go by."""

from __future__ import annotations

import pytest

from watchkeeper.instrument import redaction


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "user_password", "newPassword", "DB_PASSWD", "passwordHash",
        "secret", "client_secret", "clientSecret", "AWS_SECRET_ACCESS_KEY", "token",
        "access_token", "accessToken", "refresh-token", "X-CSRF-Token", "id_token",
        "authorization", "Proxy-Authorization", "http.request.header.authorization",
        "http.request.header.cookie", "Set-Cookie", "api_key", "apiKey", "X-API-Key", "apikey",
        "private_key", "privateKey", "credentials", "jwt", "signature", "X-Amz-Signature", "sig",
        "session_token", "otp", "passphrase",
    ],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """Names of credentials are secret in every spelling."""
    assert redaction.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.usage.input_tokens", "gen_ai.token.type", "max_tokens", "token_count",
        "tokenizer", "auth.method", "auth.provider", "auth.reason", "session.id", "user.id",
        "order_id", "key", "keyboard", "author", "authors", "compass", "significant", "",
        "db.client.connection.pool.name", "monkey", "primary_key", "sort_key",
    ],
)  # fmt: skip
def test_open_names(name: str) -> None:
    """Counts, kinds and words that only look alike are not."""
    assert not redaction.is_secret(name)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("", ""),
        ("page=2&sort=name", "page=2&sort=name"),
        ("token=abc", "token=[redacted]"),
        ("page=2&api_key=abc&x=1", "page=2&api_key=[redacted]&x=1"),
        ("access%5Ftoken=abc", "access%5Ftoken=[redacted]"),
        ("a=1;password=p;b=2", "a=1;password=[redacted];b=2"),
        ("X-Amz-Signature=0a&X-Amz-Date=1", "X-Amz-Signature=[redacted]&X-Amz-Date=1"),
        ("token=", "token="),
        ("token", "token"),
        ("q=%zz&secret=%zz", "q=%zz&secret=[redacted]"),
    ],
)
def test_query_strings(given: str, shown: str) -> None:
    """Values of secret names are masked, everything else stays as it was."""
    assert shown == redaction.query(given)


def test_the_marker_tells_nothing() -> None:
    """Two secrets look the same once masked."""
    assert redaction.query("token=a") == redaction.query("token=" + "b" * 99)
