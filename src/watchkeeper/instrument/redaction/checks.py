"""Checks that tell a secret from what only has its shape."""

from __future__ import annotations

import binascii

__all__ = ["is_basic", "is_card", "is_iban", "is_mail_domain"]

_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27,
    "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27,
    "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24,
    "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Length of an account number by country; source: the IBAN registry of ISO 13616."""
_NOT_DOMAINS = frozenset(
    {
        "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "scss", "js", "mjs", "ts", "tsx",
        "jsx", "json", "html", "xml", "yaml", "yml", "toml", "py", "md", "txt", "csv", "log", "pdf",
        "zip", "gz", "whl", "tgz", "service", "socket", "timer", "target", "slice", "mount", "local",
    }
)  # fmt: skip
"""Last parts after an @ that end file and unit names: ``logo@2x.png``, ``getty@tty1.service``."""


def is_card(text: str) -> bool:
    """Tell whether the digits of *text* are a payment card's number: issuer, length and check digit.

    Ranges: ISO/IEC 7812 issuer numbers of Visa, Mastercard, American Express, Discover, Diners, JCB,
    UnionPay; check digit: Luhn, annex B of the same standard.
    """
    digits = text.replace(" ", "").replace("-", "")
    return _is_issued(digits) and _luhn(digits)


def is_iban(text: str) -> bool:
    """Tell whether *text* is an international bank account number: country, length, check digits."""
    found = text.replace(" ", "").upper()
    if _IBAN_LENGTHS.get(found[:2]) != len(found):
        return False
    turned = found[4:] + found[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def is_mail_domain(domain: str) -> bool:
    """Tell whether *domain* can stand behind the @ of an address."""
    return domain.rpartition(".")[2].lower() not in _NOT_DOMAINS


def is_basic(encoded: str) -> bool:
    """Tell whether *encoded* is ``user:password`` in base64, as the scheme Basic sends it."""
    try:
        decoded = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        return False
    return b":" in decoded and decoded.isascii() and not any(byte < 32 for byte in decoded)


def _is_issued(digits: str) -> bool:
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if size == 16:
        return (
            digits[0] == "4"
            or 51 <= two <= 55
            or 2221 <= four <= 2720
            or four == 6011
            or two in {62, 65}
            or 644 <= int(digits[:3]) <= 649
            or 3528 <= four <= 3589
        )
    if size == 15:
        return two in {34, 37}
    if size == 14:
        return two in {36, 38, 39} or 300 <= int(digits[:3]) <= 305
    return size in {17, 18, 19} and two == 62


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0
