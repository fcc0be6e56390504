"""The corpus leaves by every exit, and little of it is leaked or masked wrongly."""

from __future__ import annotations

import pytest
from tests.instrument.redaction.corpus import INNOCENT, SECRETS
from tests.instrument.redaction.exits import EXITS
from tests.instrument.redaction.report import PAGE, page, results

GOAL = 0.98


def test_the_corpus_is_large_enough() -> None:
    """There are at least sixty shapes of secrets and sixty look-alikes, each with a name of its own."""
    assert len(SECRETS) >= 60
    assert len({(secret.kind, secret.name) for secret in SECRETS}) == len(SECRETS)
    assert len({innocent.name for innocent in INNOCENT}) == len(INNOCENT) >= 60
    assert [] == [secret.name for secret in SECRETS if secret.secret not in secret.text]


@pytest.mark.parametrize("name", EXITS)
def test_secrets_stay_inside(name: str) -> None:
    """By each exit at least 98 in 100 secrets are masked, and 98 in 100 of what is masked is secret."""
    result = results()[name]
    masked = len(SECRETS) - len(result.leaked)

    assert masked / len(SECRETS) >= GOAL, result.leaked
    assert masked / (masked + len(result.masked)) >= GOAL, result.masked


def test_the_page_is_current() -> None:
    """docs/reference/redaction.md is what the corpus says today."""
    assert page() == PAGE.read_text(encoding="utf-8")
