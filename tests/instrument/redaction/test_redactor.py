"""What the redactor does with texts, values, cuts and settings."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.instrument.redaction.corpus import SECRETS
from tests.instrument.redaction.exits import EXITS, Exits

from watchkeeper.errors import SettingError
from watchkeeper.instrument.redaction import KINDS, MASK, Redactor
from watchkeeper.instrument.redaction.build import build
from watchkeeper.instrument.settings import load

KEY = "gh" + "p_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3hJ6"
MAIL = "bob.miller@example.com"
CARD = "4111 1111 1111 " + "1111"
MARKERS = {MASK, *(f"[redacted:{kind}]" for kind in KINDS)}


def made(**given: Any) -> Redactor:
    """Return the redactor of some settings."""
    return build(load(given, {}))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_a_second_pass_changes_nothing(text: str) -> None:
    """What was redacted once is safe for good, whatever text it was."""
    redactor = Redactor()
    once = redactor.text(text)

    assert once == redactor.text(once)


PIECES = st.sampled_from(
    [*(secret.text for secret in SECRETS), *(secret.secret for secret in SECRETS), "a", "password=", '"',
     " ", "@", "-", "=", ": ", "\\n", "[redacted", "4111", "x" * 120, "//", "token"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=8), st.sampled_from(["mask", "partial", "hash"]))
def test_a_second_pass_changes_nothing_of_secrets(parts: list[str], mode: str) -> None:
    """Nor does it when secrets touch each other and pieces of them."""
    redactor = made(redact_mode=mode, redact_hash_key="k" * 16)
    once = redactor.text("".join(parts))

    assert once == redactor.text(once)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SECRETS), st.text(alphabet="abcdef ghi.,", max_size=30))
def test_a_marker_tells_nothing(secret: Any, before: str) -> None:
    """Each marker is one of a closed set, so it holds neither a piece of the secret nor its length."""
    shown = Redactor().text(f"{before} {secret.secret} ")
    markers = {f"[redacted{part.partition(']')[0]}]" for part in shown.split("[redacted")[1:]}

    assert set() == markers - MARKERS


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,!?", max_size=200))
def test_a_text_without_candidates_is_the_same_object(text: str) -> None:
    """Nothing is copied where nothing can be found."""
    assert text is Redactor().text(text)


def test_equal_secrets_have_equal_hashes() -> None:
    """In the mode ``hash`` the key and the secret decide, and nothing of the secret shows."""
    one, other = (made(redact_mode="hash", redact_hash_key=letter * 16) for letter in "ab")

    assert one.text(f"a {MAIL}") == one.text(f"b {MAIL}").replace("b ", "a ")
    assert one.text(MAIL) != other.text(MAIL)
    assert one.text(MAIL) != one.text(f"x{MAIL}")
    assert one.text(MAIL).startswith("[redacted:email:#")
    assert (
        one.named("password", "a", 10)
        == one.named("password", "a", 10)
        != one.named("password", "b", 10)
    )


def test_the_mode_partial_shows_a_part() -> None:
    """A card shows its last four digits, an address its domain, a key nothing."""
    redactor = made(redact_mode="partial")

    assert "[redacted:card:*1111]" == redactor.text(CARD)
    assert "[redacted:email:*@example.com]" == redactor.text(MAIL)
    assert "[redacted:api_key]" == redactor.text(KEY)


def test_values_of_any_nesting() -> None:
    """Names count at every level, texts and large numbers too; booleans and None stay."""
    redactor = Redactor()
    value = {"user": {"password": 12, "ok": True, "none": None, "mail": [MAIL, 3.5]}, "n": int(CARD.replace(" ", ""))}  # fmt: skip

    assert {
        "user": {"password": MASK, "ok": True, "none": None, "mail": ("[redacted:email]", 3.5)},
        "n": "[redacted:card]",
    } == redactor.value(value, 100)
    assert b"key [redacted:api_key]" == redactor.value(f"key {KEY}".encode(), 100)
    assert b"\xff\x00" == redactor.value(b"\xff\x00", 100)
    assert 1_764_064_800_123_456_789 == redactor.number(1_764_064_800_123_456_789)


@pytest.mark.parametrize("at", range(len(KEY) + 1))
def test_a_cut_through_a_secret_leaves_no_half(at: int) -> None:
    """Wherever the limit falls, four characters of the secret are never left."""
    text = "x" * 100 + " " + KEY + " " + "y" * 10_000
    shown = Redactor().cut(text, 101 + at)

    assert [] == [piece for piece in pieces(KEY) if piece in shown]


@pytest.mark.parametrize("size", [256, 1_000, 2_048, 16_384])
@pytest.mark.parametrize("at", range(8, len(KEY)))
def test_a_half_that_others_have_cut_is_masked(size: int, at: int) -> None:
    """A text as long as limits are may end in half a secret, known by its beginning."""
    text = "x" * (size - at - 1) + " " + KEY[:at]
    shown = Redactor().text(text)

    assert [] == [piece for piece in pieces(KEY) if piece in shown]


def pieces(secret: str) -> list[str]:
    """Return the pieces of four characters behind the prefix of a key."""
    return [secret[at : at + 4] for at in range(4, len(secret) - 3)]


@pytest.mark.parametrize(
    "name", ["log event", "log field", "span name", "span attribute", "URL", "LLM content"]
)
def test_no_exit_leaves_a_half(name: str) -> None:
    """A secret across the limit of each exit does not leave its first half."""
    room = {"URL": 2_048, "LLM content": 8_192}.get(name, 16_384)
    texts = ["x" * (room - back) + f" {KEY} " + "y" * 9_000 for back in range(0, 80, 4)]
    leaked = [
        out for out in EXITS[name](Exits(), texts) if any(piece in out for piece in pieces(KEY))
    ]

    assert [] == leaked


def test_names_of_the_users_own() -> None:
    """Further names count in every spelling, also within texts; allowed ones do not count at all."""
    redactor = made(redact_keys="patient id, iban", redact_keys_allowed="csrf_token")

    assert [True, True, True, False, False, True] == [
        redactor.is_secret(name)
        for name in ("patientId", "the.patient_id", "IBAN", "patient", "csrfToken", "auth_token")
    ]
    assert "patient_id=[redacted] csrf_token=17" == redactor.text("patient_id=17 csrf_token=17")


def test_patterns_of_the_users_own() -> None:
    """They are found wherever they lie in a long text, named by their kind, and counted."""
    redactor = made(redact_patterns={"order": "ORD-[0-9]{8}"})
    text = "a " * 5_000
    for at in range(0, 600, 7):
        shown = redactor.text(text[:at] + " ORD-12345678 " + text[at:])
        assert "12345678" not in shown
        assert " [redacted:order] " in shown
    assert 86 == redactor.counts["order"]
    assert "[redacted:vin]" == made(redact_patterns='{"vin": "[A-Z0-9]{17}"}').text(
        "1HGBH41JXMN109186"
    )


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)+$", "(a|b|ab)*c", r"(\w+\s?)*$", ".*.*x", r"(a?){30}a{30}", r"(.)\1", "(", "a*", "x" * 2_000],
)  # fmt: skip
def test_patterns_that_could_hang_are_refused(pattern: str) -> None:
    """A pattern that could take long, is malformed or matches nothing is an error in four parts."""
    with pytest.raises(SettingError, match=r"(?s)redact_patterns.*Accepted: .*Next: "):
        made(redact_patterns={"own": pattern})


@pytest.mark.parametrize(
    "given",
    [
        {"redact_patterns": {"email": "x"}},
        {"redact_patterns": {"Not Fit": "x"}},
        {"redact_patterns": {f"k{number}": "x" for number in range(33)}},
        {"redact_patterns": "no json"},
        {"redact_kinds_off": "mail"},
        {"redact_mode": "hash"},
        {"redact_mode": "hash", "redact_hash_key": "short"},
        {"redact_mode": "blur"},
        {"redact_keys": 3},
    ],
)
def test_bad_settings_are_explained(given: dict[str, Any]) -> None:
    """So is everything else that cannot be used, and no key is shown."""
    with pytest.raises(SettingError, match=r"(?s)redact_.*Accepted: .*Next: ") as caught:
        made(**given)
    assert "short" not in str(caught.value).replace("a shorter key", "")


def test_kinds_can_be_let_out_and_all_turned_off() -> None:
    """A kind that is off stays, and with ``redact=False`` everything does."""
    assert f"{MAIL} [redacted:api_key]" == made(redact_kinds_off="email").text(f"{MAIL} {KEY}")
    off = made(redact=False)
    assert f"{MAIL} password={KEY}" == off.text(f"{MAIL} password={KEY}")
    assert {"password": KEY} == off.attributes({"password": KEY}, 100)
    assert "token=a" == off.query("token=a")


def test_what_is_masked_is_counted_by_kind() -> None:
    """Each exit counts each secret once, under the kind that its marker names or means."""
    exits = Exits()
    EXITS["span attribute"](exits, [KEY, KEY, MAIL])
    assert {"api_key": 4, "email": 2} == exits.counts

    logs = Exits()
    EXITS["log event"](logs, [f"password=abc1 {MAIL}"])
    assert {"pair": 1, "email": 1} == logs.counts


def test_values_under_secret_names_in_spans() -> None:
    """An attribute's name masks whatever it holds: text, number, list, header."""
    names = ("db.password", "http.request.header.authorization", "api_key")

    def record(_: Any, span: Any, text: str) -> None:
        span.set_attributes(dict(zip(names, (text, [text], 123_456), strict=True)))

    (shown,) = Exits().spans(["swordfish"], record)

    assert 3 == shown.count(f'string_value: "{MASK}"')
    assert "swordfish" not in shown
    assert "123456" not in shown


NASTY = (
    "a" * 16_384, "a@" * 8_192, "-" * 16_384, "eyJ" * 5_000, "://" * 5_000, "1" * 16_384, "1 " * 8_192,
    "password=" * 1_800, '"password": "' * 1_200, "\\" * 16_384, "-----BEGIN PRIVATE KEY-----" * 500,
    "a.b." * 4_000 + "@", "Bearer " * 2_000, "x" * 8_000 + "@" + "y." * 4_000, "GB82" + "A1B2" * 4_000,
    "sk-" * 5_000, "--password " * 1_400, "authorization: basic " * 700, "_" * 16_000 + "=",
    "a-" * 8_000 + "=", "cookie=" * 2_000,
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(NASTY)))
def test_no_text_takes_more_than_linear_time(number: int) -> None:
    """Four times the text takes at most about four times as long, however it was made up."""
    redactor, text = Redactor(), NASTY[number]

    def taken(some: str) -> float:
        rounds = []
        for _ in range(3):
            start = time.process_time()
            redactor.text(some)
            rounds.append(time.process_time() - start)
        return min(rounds)

    quarter = taken(text[: len(text) // 4])

    assert taken(text) < max(quarter, 0.002) * 12
