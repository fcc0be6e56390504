"""Shapes of secrets, and innocent texts that look alike; all made up by us.

Secrets are put together at run time from pieces and from a random source with a fixed seed, so that
no scanner takes this file for a leak, and the report is the same every time.
"""

from __future__ import annotations

import base64
import json
import random
import string
from typing import NamedTuple

__all__ = ["GAPS", "INNOCENT", "SECRETS", "Innocent", "Secret"]

_RANDOM = random.Random(20_260_101)  # noqa: S311 - nothing here has to be unpredictable
_ALNUM = string.ascii_letters + string.digits
_URLSAFE = _ALNUM + "-_"
_HEX = "0123456789abcdef"


class Secret(NamedTuple):
    """A text with a secret in it."""

    name: str
    kind: str
    text: str
    secret: str


class Innocent(NamedTuple):
    """A text without one."""

    name: str
    text: str


def _some(alphabet: str, count: int) -> str:
    return "".join(_RANDOM.choice(alphabet) for _ in range(count))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _url64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _luhn(body: str) -> str:
    """Return *body* with its check digit."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit)
        if place % 2 == 0:
            value = value * 2 - 9 * (value > 4)
        total += value
    return body + str(-total % 10)


def _card(start: str, size: int) -> str:
    return _luhn(start + _some(string.digits, size - 1 - len(start)))


def _iban(country: str, rest: str) -> str:
    number = int("".join(str(int(letter, 36)) for letter in f"{rest}{country}00"))
    return f"{country}{98 - number % 97:02d}{rest}"


def _grouped(text: str, *sizes: int, by: str = " ") -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return by.join(parts)


def _pem(label: str, lines: int = 6) -> str:
    body = "\n".join(_some(_ALNUM + "+/", 64) for _ in range(lines))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"


_JWT = ".".join(
    (
        _url64({"alg": "HS256", "typ": "JWT"}),
        _url64({"sub": "1234", "name": "x"}),
        _some(_URLSAFE, 43),
    )
)
_TEXTS = (
    "{}", "the provider refused {} again", "used {}, then retried", 'call failed: key "{}" is revoked',
    "line one\nsecond: {}\nthird",
)  # fmt: skip


def _provider_keys() -> list[tuple[str, str]]:
    return [
        ("OpenAI, old form", "sk" + "-" + _some(_ALNUM, 48)),
        ("OpenAI, project", "sk" + "-proj-" + _some(_URLSAFE, 120) + "a1"),
        ("OpenAI, service account", "sk" + "-svcacct-" + _some(_ALNUM, 60)),
        ("Anthropic", "sk" + "-ant-api03-" + _some(_URLSAFE, 93) + "AA"),
        ("OpenRouter", "sk" + "-or-v1-" + _some(_HEX, 64)),
        ("GitHub, personal", "gh" + "p_" + _some(_ALNUM, 36)),
        ("GitHub, OAuth", "gh" + "o_" + _some(_ALNUM, 36)),
        ("GitHub, server", "gh" + "s_" + _some(_ALNUM, 36)),
        ("GitHub, fine-grained", "github" + "_pat_" + _some(_ALNUM, 22) + "_" + _some(_ALNUM, 59)),
        ("GitLab", "gl" + "pat-" + _some(_URLSAFE, 20) + "9"),
        ("Slack, bot", "xo" + "xb-" + _some("123456789", 12) + "-" + _some(_ALNUM, 24)),
        ("Slack, user", "xo" + "xp-" + "-".join(_some("123456789", 12) for _ in "abc") + "-" + _some(_HEX, 32)),
        ("Slack, app", "xa" + "pp-1-A" + _some(_ALNUM.upper(), 10) + "-" + _some("123456789", 13) + "-" + _some(_HEX, 64)),
        ("Stripe, live", "sk" + "_live_" + _some(_ALNUM, 24)),
        ("Stripe, test", "sk" + "_test_" + _some(_ALNUM, 24)),
        ("Stripe, restricted", "rk" + "_live_" + _some(_ALNUM, 99)),
        ("Stripe, webhook", "wh" + "sec_" + _some(_ALNUM, 32)),
        ("SendGrid", "SG" + "." + _some(_URLSAFE, 22) + "." + _some(_URLSAFE, 43)),
        ("npm", "np" + "m_" + _some(_ALNUM, 36)),
        ("PyPI", "py" + "pi-AgEIcHlwaS5vcmc" + _some(_URLSAFE, 150)),
        ("Hugging Face", "h" + "f_" + _some(_ALNUM, 34)),
        ("Groq", "gs" + "k_" + _some(_ALNUM, 52)),
        ("Shopify", "shp" + "at_" + _some(_HEX, 32)),
        ("DigitalOcean", "do" + "p_v1_" + _some(_HEX, 64)),
        ("Linear", "lin" + "_api_" + _some(_ALNUM, 40)),
        ("Mailgun", "ke" + "y-" + _some(_HEX, 32)),
        ("Twilio", "S" + "K" + _some(_HEX, 32)),
        ("Vault", "hv" + "s." + _some(_ALNUM, 90)),
        ("Docker Hub", "dckr" + "_pat_" + _some(_ALNUM, 27)),
        ("xAI", "xa" + "i-" + _some(_ALNUM, 80)),
    ]  # fmt: skip


def _cloud_keys() -> list[tuple[str, str]]:
    upper = string.ascii_uppercase + "234567"
    return [
        ("AWS, access key id", "AK" + "IA" + _some(upper, 16)),
        ("AWS, temporary key id", "AS" + "IA" + _some(upper, 16)),
        ("Google, API key", "AI" + "za" + _some(_URLSAFE, 35)),
        ("Google, OAuth token", "ya" + "29." + _some(_URLSAFE, 120)),
        ("Google, client secret", "GOC" + "SPX-" + _some(_URLSAFE, 28)),
    ]


def _named() -> list[tuple[str, str, str]]:
    """Return name, text and secret of texts that name their secret."""
    word = "hunter" + "2zz"
    odd = "p#w" + _some(_ALNUM, 8)
    long, signed = _some(_ALNUM + "+/", 40), _some(_HEX, 64)
    return [
        ("key=value", f"connecting with password={word} to db", word),
        ("key=value, capitals", f"export DB_PASSWORD={word}", word),
        ("key: value", f"login failed, password: {word}", word),
        ("quoted", f"api_key='{odd}' was refused", odd),
        ("JSON in a text", json.dumps({"user": "bob", "client_secret": odd, "n": 1}), odd),
        ("JSON in JSON", json.dumps({"body": json.dumps({"password": word})}), word),
        ("repr of a dict", repr({"user": "bob", "password": f"{word} and more"}), f"{word} and more"),
        ("repr of an object", f"Login(name='bob', access_token='{long}')", long),
        ("line of a traceback", f'  File "a.py", line 3\n    connect(host, password="{odd}")\n', odd),
        ("command line", f"mysql --user root --password {word} shop", word),
        ("command line, =", f"curl --token={long} x", long),
        ("AWS secret key", f"aws_secret_access_key = {long}", long),
        ("ODBC", f"Server=db;Database=shop;Uid=sa;Password={word};Encrypt=yes", word),
        ("libpq", f"host=db user=app password={word} dbname=shop", word),
        ("Azure storage", f"AccountName=shop;AccountKey={long}==;EndpointSuffix=x", long),
        ("URL parameter", f"GET /cb?code=1&access_token={long}&state=2", long),
        ("signed URL", f"https://s3.example/x?X-Amz-Signature={signed}&y=1", signed),
        ("cookie header", f"Cookie: session={long}; theme=dark", long),
        ("set-cookie header", f"Set-Cookie: sid={long}; HttpOnly", long),
        ("own header", f"X-API-Key: {long}", long),
        ("YAML", f"db:\n  user: app\n  password: {word}\n", word),
        ("secret with such a word", f"login failed, password={word}secret", f"{word}secret"),
        ("secret like a word", "login failed, pwd=my" + "secretpassword", "my" + "secretpassword"),
        ("quoted, with such a word", "password='correct_" + "secret'", "correct_" + "secret"),
        ("escaped quote inside", 'password="ab\\"' + word + '" next', word),
    ]  # fmt: skip


def _authorization() -> list[tuple[str, str, str]]:
    basic = _b64(f"admin:{_some(_ALNUM, 12)}".encode())
    token = _some(_URLSAFE, 40)
    return [
        ("Bearer header", f"Authorization: Bearer {token}", token),
        ("Bearer in prose", f"sent Bearer {token} to the API", token),
        ("bearer, small", f"headers={{'authorization': 'bearer {token}'}}", token),
        ("Basic header", f"Authorization: Basic {basic}", basic),
        ("Basic in prose", f"with Basic {basic} as credentials", basic),
        ("Token header", f"authorization: Token {token}", token),
    ]


def _logins() -> list[tuple[str, str, str]]:
    word = _some(_ALNUM, 12)
    return [
        ("PostgreSQL", f"postgresql+asyncpg://app:{word}@db.internal:5432/shop", word),
        ("MySQL", f"mysql://root:{word}@127.0.0.1/shop", word),
        ("Redis, no user", f"redis://:{word}@cache:6379/0", word),
        ("MongoDB", f"mongodb+srv://app:{word}@cluster0.example.net/?retryWrites=true", word),
        ("AMQP", f"cannot reach amqp://guest:{word}@mq:5672//", word),
        ("HTTPS", f"fetch https://bob:{word}@git.example.com/x.git failed", word),
        ("@ in the password", f"postgres://app:{word}@{word}@db/shop", word),
        ("token as the user", f"https://{word * 2}@git.example.com/x", word * 2),
    ]


def _personal() -> list[tuple[str, str, str, str]]:
    visa, amex = _card("4", 16), _card("37", 15)
    german, british = (
        _iban("DE", _some(string.digits, 18)),
        _iban("GB", "NWBK" + _some(string.digits, 14)),
    )
    dutch = _iban("NL", "ABNA" + _some(string.digits, 10))
    cards = [
        ("Visa", visa), ("Visa, spaces", _grouped(visa, 4, 4, 4, 4)),
        ("Visa, dashes", _grouped(visa, 4, 4, 4, 4, by="-")), ("Mastercard", _card("53", 16)),
        ("Mastercard, 2-series", _card("2223", 16)), ("American Express", amex),
        ("American Express, spaces", _grouped(amex, 4, 6, 5)), ("Discover", _card("6011", 16)),
        ("Diners", _card("36", 14)), ("JCB", _card("3530", 16)),
    ]  # fmt: skip
    mails = [
        ("plain", "bob.miller@example.com"), ("plus", "bob+shop@mail.example.co.uk"),
        ("digits", "user1234@example.org"), ("dashes", "first-last@my-company.io"),
        ("capitals", "Alice.Smith@Example.COM"), ("percent-encoded", "bob.miller%40example.com"),
        ("in angle brackets", "Bob <bob.miller@example.com>"),
    ]  # fmt: skip
    return [
        *(("card", name, f"paid with {number} today", number) for name, number in cards),
        ("iban", "Germany", f"transfer to {german}", german),
        ("iban", "Germany, spaces", f"IBAN {_grouped(german, 4, 4, 4, 4, 4, 2)}.", _grouped(german, 4, 4, 4, 4, 4, 2)),
        ("iban", "Great Britain", f"account {british} closed", british),
        ("iban", "Netherlands", f"account {dutch} closed", dutch),
        ("ssn", "dashes", "applicant 219-09-" + "9999 approved", "219-09-9999"),
        ("ssn", "at the end", "SSN is 457-55-" + "5462", "457-55-5462"),
        *(("email", name, f"no account for {mail} found", mail) for name, mail in mails),
    ]  # fmt: skip


def _blobs() -> list[tuple[str, str, str, str]]:
    found = []
    for label in ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):  # fmt: skip
        pem = _pem(label)
        found.append(("private_key", label.lower(), f"loaded {pem} from disk", pem.splitlines()[2]))
    flat = _pem("PRIVATE KEY").replace("\n", "\\n")
    found.append(
        ("private_key", "escaped line breaks", json.dumps({"k": flat}), flat.split("\\n")[2])
    )
    cut = _pem("RSA PRIVATE KEY").rpartition("-----END")[0]
    found.append(("private_key", "without its end", f"loaded {cut}", cut.splitlines()[3]))
    unsigned = ".".join((_url64({"alg": "none"}), _url64({"sub": "x", "admin": True}), ""))
    found += [
        ("jwt", "signed", f"session {_JWT} expired", _JWT),
        ("jwt", "in a URL", f"https://app.example/x/{_JWT}/y", _JWT),
        ("jwt", "unsigned", f"got {unsigned} from client", unsigned),
        ("jwt", "after a line break in JSON", json.dumps({"m": f"a\n{_JWT}"}), _JWT),
    ]
    return found


def _secrets() -> tuple[Secret, ...]:
    found = []
    for number, (name, key) in enumerate(_provider_keys()):
        found.append(Secret(name, "api_key", _TEXTS[number % len(_TEXTS)].format(key), key))
    for number, (name, key) in enumerate(_cloud_keys()):
        found.append(Secret(name, "cloud_key", _TEXTS[number % len(_TEXTS)].format(key), key))
    found += [Secret(name, "pair", text, secret) for name, text, secret in _named()]
    found += [Secret(name, "authorization", *rest) for name, *rest in _authorization()]
    found += [Secret(name, "url_password", *rest) for name, *rest in _logins()]
    found += [
        Secret(name, kind, text, secret) for kind, name, text, secret in (*_personal(), *_blobs())
    ]
    return tuple(found)


SECRETS = _secrets()

_UUID = "550e8400-e29b-41d4-a716-446655440000"
_IMAGE = _b64(bytes(range(7, 200)))
INNOCENT: tuple[Innocent, ...] = tuple(
    Innocent(name, text)
    for name, text in (
        ("UUID", f"order {_UUID} shipped"),
        ("UUID without dashes", _UUID.replace("-", "")),
        ("trace id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("git commit", "deployed a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"),
        ("git commit, short", "checked out a94a8fe"),
        ("SHA-256", "sha256:" + _some(_HEX, 64)),
        ("ETag", 'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"'),
        ("timestamp", "2026-11-25T10:00:00.123456Z"),
        ("date and time", "2026-11-25 10:00:00,123 started"),
        ("epoch seconds", "at 1764064800"),
        ("epoch milliseconds", "at 1764064800123"),
        ("epoch nanoseconds", "start 1764064800123456789 end 1764064800123457000"),
        ("order number, 16 digits", "order 4000123412341235 accepted"),
        ("order number, grouped", "order 4111-1111-1111-1112 accepted"),
        ("order number, other issuer", "parcel 9400110200881234567890"),
        ("number with a check digit", "imei 490154203237518"),
        ("phone-like order id", "ticket 555-0123-4567"),
        ("phone number", "call +1 415 555 2671"),
        ("part number", "part 123-45-678 in stock"),
        ("SSN-like with letters", "lot A219-09-9999B"),
        ("version", "upgraded to 1.2.3-rc.1+build.5"),
        ("IP address and port", "from 192.168.100.200:54321"),
        ("IPv6", "from 2001:db8:85a3::8a2e:370:7334"),
        ("MAC address", "00:1a:2b:3c:4d:5e"),
        ("image", f"data:image/png;base64,{_IMAGE}"),
        ("decorator", "@app.get('/items')\nasync def items(): ..."),
        ("decorator with a module", "@pytest.mark.parametrize('x', [1])"),
        ("handle", "thanks @octocat for the report"),
        ("npm package", "installed react@18.2.0 and @types/node@20.1.1"),
        ("image digest", "nginx@sha256:" + _some(_HEX, 64)),
        ("git address", "git clone git@github.com:owner/name.git"),
        ("file with a density", "GET /static/logo@2x.png 200"),
        ("systemd unit", "getty@tty1.service restarted"),
        ("matrix multiplication", "scores = weights @ inputs.T"),
        ("CSS", "#sk-nav .btn-primary--large { color: #a1b2c3 }"),
        ("CSS class", "sk-fading-circle-animation-wrapper"),
        ("scikit-learn", "pip install scikit-learn sk-dist"),
        ("token count", "input_tokens: 512, output_tokens: 12"),
        ("token count, =", "max_tokens=4096 total_tokens=4608"),
        ("token type", "token_type=bearer"),
        ("prose about tokens", "the token expired yesterday"),
        ("prose about passwords", "password must have a digit and a capital letter"),
        ("validation message", "password: must be at least 8 characters"),
        ("prose with a colon", "Reset your password: follow the link below"),
        ("secret, unset", "client_secret=None"),
        ("password, empty", 'password=""'),
        ("SQL parameter", "SELECT id FROM users WHERE password = %(password)s"),
        ("SQL parameter, numbered", "UPDATE users SET token = $1 WHERE id = $2"),
        ("SQL parameter, question mark", "INSERT INTO keys (api_key) VALUES (?)"),
        ("SQL, named", "WHERE session_token = :token"),
        ("type annotation", "def login(user: str, password: str) -> Token: ..."),
        ("argument passed on", "    connect(user=user, password=password)"),
        ("argument from settings", "    connect(password=settings.db_password)"),
        ("argument from a variable", "    connect(password=dbPassword, token=access_token)"),
        ("environment", "password=os.environ['DB_PASSWORD']"),
        ("template", "postgres://{user}:{password}@{host}/db"),
        ("shell variable", "export TOKEN=${CI_JOB}"),
        ("primary key", "primary_key=17 sort_key=created_at"),
        ("keyboard", "key: Enter, keycode=13"),
        ("author", "author: Jane Doe, authority=example"),
        ("URL with a port", "http://127.0.0.1:4318/v1/traces"),
        ("URL with @ in its path", "https://medium.example/@jane/post-1"),
        ("URL with a query", "https://api.example.com/v1/orders?page=2&sort=name"),
        ("bearer in prose", "the bearer of this letter"),
        ("Bearer challenge", 'WWW-Authenticate: Bearer realm="api"'),
        ("basic in prose", "basic understanding of Python"),
        ("Basic challenge", 'WWW-Authenticate: Basic realm="shop"'),
        (
            "public key",
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----",
        ),
        (
            "certificate",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----",
        ),
        ("camelCase name", "AbstractSingletonProxyFactoryBean2Implementation"),
        ("long path", "/usr/lib/python3.11/site-packages/opentelemetry/sdk/trace/export.py"),
        ("model name", "gpt-4o-mini-2024-07-18"),
        ("region", "asia-northeast1, Asia"),
        ("message", "msg.text contains SG. in it"),
        ("identifier with sk", "task-runner-sk-1"),
        ("measurement", "0000000000 bytes, 12345678901 rows"),
        ("hash of a file", "key-value store, hf_hub cache, npm_config_cache=/tmp/x"),
        ("session id", "session.id=abc user.id=17"),
        ("signal", "signal=SIGTERM sigma=0.5"),
        ("cookie in prose", "cookie: refused by the browser"),
        ("authorization in prose", "authorization: failed for the caller"),
    )
)

GAPS: tuple[str, ...] = (
    "the password is hunter2",
    "password: correcthorse",
    "password=my_" + "secret",
    "my pin is 4921",
    "social security number 219099999",
    "bob at example dot com",
    "born 1984-03-02, lives in 5 Hill Street",
    _some(_ALNUM, 40) + " without a name or prefix",
    "redis-cli -a " + _some(_ALNUM, 10) + " ping",
    "https://bob:pass/word1@git.example.com/x",
    "order " + _luhn("400012341234123") + ", which happens to have a card's check digit",
    "lot 219-09-9999, which has the form of a social security number",
    "token=512",
    "password=optionally",
)
"""Secrets that are not found, and texts that are masked although they hold none."""
