"""What secrets look like in free text: one rule for each shape.

Prefixes are those that the providers document for their keys. Every repetition is bounded or excludes
the character that follows it, so no rule can take more than linear time in practice; the tests time
the worst texts that they can think of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from watchkeeper.instrument.redaction.checks import is_basic, is_card, is_iban, is_mail_domain

__all__ = [
    "FLAG",
    "HEADER",
    "KINDS",
    "NAME",
    "PERSONAL",
    "RULES",
    "TAIL",
    "TAIL_CHARS",
    "VALUE",
    "Rule",
]

_START = r"(?:(?<![A-Za-z0-9_\\])|(?<=\\[nrt]))"
"""Before a secret: no letter or digit, unless it belongs to an escaped line break, as in JSON."""
_PROVIDER = (
    r"sk-(?:(?:ant|proj|svcacct|admin|or|lf)-)?[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, OpenRouter
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{22,}|gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{16,}"
    r"|xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    r"|[spr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}"  # Stripe
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"  # SendGrid
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{30,}|pplx-[A-Za-z0-9]{30,}"
    r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|do[opr]_v1_[a-f0-9]{64}|lin_api_[A-Za-z0-9]{30,}"
    r"|key-[0-9a-f]{32}|SK[0-9a-f]{32}|dckr_pat_[A-Za-z0-9_-]{20,}|sntry[su]_[A-Za-z0-9+/=_-]{30,}"
    r"|hv[sbr]\.[A-Za-z0-9_-]{20,}|glsa_[A-Za-z0-9]{30,}_[A-Fa-f0-9]{8}|lsv2_(?:pt|sk)_[a-f0-9]{32}\w*"
)
_CLOUD = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS access key ids
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"  # Google
)
_PEM = (
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[A-Za-z0-9+/=\s:,.()-]|\\{1,4}[nrt])*?(?:-----END (?:[A-Z0-9]{1,20} ){0,3}"
    r"PRIVATE KEY(?: BLOCK)?-----|\Z|(?=[^A-Za-z0-9+/=\s:,.()\\-]))"
)
_JWT = r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"
_URL_LOGIN = (
    r"://(?:[^\s:/@\"'<>]{0,128}:(?!\[redacted)(?P<secret>[^\s/\"'<>]{1,256})@(?=[\w.\[-])"
    r"|(?P<alone>[A-Za-z0-9_-]{20,256})@(?=[\w.\[-]))"
)
_BEARER = r"(?i:\bbearer)(?: |\+|%20|[:=] ?)\"?(?P<secret>[A-Za-z0-9._~+/-]{6,}=*)"
_BASIC = r"(?i:\bbasic) (?P<secret>[A-Za-z0-9+/]{6,}={0,2})"
_EMAIL = (
    r"(?:(?<![\w.+%\\-])|(?<=\\[nrt])|(?<=%3[AaDd])|(?<=%2[0C]))"
    r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}+(?:@|%40)"
    r"(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24})(?![\w-])"
)
_CARD = r"(?<![\w.+*#-])\d(?:[ -]?\d){12,18}(?![\w*]|[.-]\d)"
_IBAN = r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"
_SSN = r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)"


@dataclass(frozen=True, slots=True)
class Rule:
    """How one shape of secret is found.

    The whole match is masked, or only its group ``secret`` (or ``alone``) if it has one.
    """

    kind: str
    hints: tuple[str, ...]
    """Pieces of the text's `watchkeeper.instrument.redaction.hints.shape`, of which it must have one;
    none means always."""
    pattern: re.Pattern[str]
    check: Callable[[re.Match[str]], bool] | None = None
    """Tells a secret from what only has its shape."""
    part: Callable[[str], str] | None = None
    """What the mode ``partial`` shows of the secret, if anything."""


def _rule(
    kind: str,
    hints: tuple[str, ...],
    pattern: str,
    check: Callable[[re.Match[str]], bool] | None = None,
    part: Callable[[str], str] | None = None,
) -> Rule:
    return Rule(kind, hints, re.compile(pattern), check, part)


def _is_token(match: re.Match[str]) -> bool:
    """A long dashed word such as ``sk-learn-pipeline-runner`` has neither digits nor capitals."""
    body = match[0].partition("-")[2] or match[0]
    return any(letter.isdigit() or letter.isupper() for letter in body)


def _is_bearer(match: re.Match[str]) -> bool:
    """Prose goes on with a word: ``the bearer of``, ``Bearer authentication``."""
    text = match["secret"]
    return len(text) >= 20 or any(letter.isdigit() for letter in text) or "=" in text


def _is_mail(match: re.Match[str]) -> bool:
    if not is_mail_domain(match["domain"]):
        return False
    # ``git@github.com:owner/name`` is the address of a repository.
    after = match.string[match.end() : match.end() + 3]
    return not (
        match[0].startswith(("git@", "git%40")) and after.startswith((":", "/", "%3A", "%2F"))
    )


def _is_login(match: re.Match[str]) -> bool:
    text = match["secret"]
    return text is None or not text.startswith(("{", "$", "<", "*"))


RULES: tuple[Rule, ...] = (
    _rule("private_key", ("-----begin",), _PEM),
    _rule("jwt", ("eyj",), _START + _JWT),
    _rule("url_password", ("://",), _URL_LOGIN, _is_login),
    _rule("authorization", ("bearer",), _BEARER, _is_bearer),
    _rule("authorization", ("basic ",), _BASIC, lambda match: is_basic(match["secret"])),
    _rule("cloud_key", ("akia", "asia", "abia", "acca", "aiza", "ya00.", "gocspx"),
          _START + f"(?:{_CLOUD})"),
    _rule("api_key", (), _START + f"(?:{_PROVIDER})", _is_token),
)  # fmt: skip
"""Rules before those for ``name=value``, whose values they may be."""

PERSONAL: tuple[Rule, ...] = (
    _rule("card", ("0000",), _CARD, lambda match: is_card(match[0]),
          lambda text: text.replace(" ", "").replace("-", "")[-4:]),
    _rule("iban", ("0000",), _IBAN, lambda match: is_iban(match[0]), lambda text: text[:2]),
    _rule("ssn", ("000-00-0000",), _SSN),
    _rule("email", ("@", "%00"), _EMAIL, _is_mail,
          lambda text: "@" + re.split("@|%40", text)[-1]),
)  # fmt: skip
"""Rules for what identifies a person."""

NAME = re.compile(
    r"(?:(?<![\w.\\])|(?<=\\[nrt]))(?P<name>[A-Za-z_][\w.-]{0,80}+)"
    r"(?P<between>\\{0,3}[\"']?\]?\s{0,3}(?:=>|:=|==?|:)\s{0,3})"
)
"""The first half of ``name=value``, ``name: value``, ``"name": "value"``."""
FLAG = re.compile(r"(?<![\w-])--?(?P<name>[A-Za-z][\w-]{1,60}+)(?P<between> {1,3})(?!-)")
"""The first half of ``--name value``."""
VALUE = re.compile(
    r"(?P<quote>[\"'])(?P<quoted>(?:\\.|(?!(?P=quote))[^\r\n\\])++)"
    r"|(?P<escape>\\{1,3}[\"'])(?P<escaped>(?:\\\\\\[\"']|(?!(?P=escape))[^\r\n])++)"
    r"|(?P<bare>[^\s\"'&;,<>\\]++)"
)
"""The second half of both."""
HEADER = re.compile(
    r"(?i)\b(?P<name>(?:proxy-)?authorization|(?:set-)?cookie)(?P<between>\\{0,3}[\"']?\s{0,3}[:=]"
    r"\s{0,3}\\{0,3}[\"']?)(?P<value>(?:(?:bearer|basic|token|digest|negotiate|apikey|bot|aws4-[\w-]+)\s"
    r"|[\w.-]{1,80}=)[^\r\n\"'\\]++)"
)
"""A header whose whole line is secret: a scheme and its credentials, or cookies."""

TAIL = re.compile(
    _START
    + r"(?:sk-|gh[pousr]_|github_pat_|gl(?:pat|ptt|dt|rt)-|xox[a-z]|xapp-|[spr]k_(?:live|test|prod)"
    r"|whsec_|SG\.|npm_|pypi-|hf_|gsk_|shp[a-z]{2}_|hv[sbr]\.|A[KS]IA|AIza|ya29\.|eyJ)[\w.+/=-]*\Z"
    r"|(?i:\bbearer|\bbasic)\s+\S*\Z"
    r"|(?<![\w.])\d(?:[ -]?\d){7,18}\Z"
    r"|(?<![\w.+%-])[\w.+-]{1,64}+(?:@|%40)[\w.-]*\Z"
    r"|(?<=://)[^\s:/@]*:(?!\d{1,5}\Z)[^\s/@]+\Z"
)
"""What may be the first half of a secret at the end of a text that somebody cut."""
TAIL_CHARS = 300

KINDS: tuple[str, ...] = (
    "key", "pair", "cut", *dict.fromkeys(rule.kind for rule in (*RULES, *PERSONAL)),
)  # fmt: skip
"""Every kind of ours; ``key`` is a value under a secret name, ``pair`` the same within a text,
``cut`` the first half of something at the end of a text that was cut."""
