"""Request bodies: inflated within a limit, then parsed strictly.

Source: OTLP specification 1.11 (opentelemetry-proto, docs/specification.md).
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, TypeVar

import orjson
import pyarrow as pa
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message

from watchkeeper.errors import PayloadError, PayloadTooLargeError
from watchkeeper.vocabulary.limits import limit

__all__ = ["inflate", "parse_json", "parse_protobuf"]

M = TypeVar("M", bound=Message)

_IDS = {"traceId", "spanId", "parentSpanId"}
_ENUMS = {"kind", "severityNumber", "code", "aggregationTemporality"}


def inflate(body: bytes, encoding: str, most: int) -> bytes:
    """Return *body* decompressed.

    Args:
        body: As it came.
        encoding: ``Content-Encoding``: empty, ``identity``, ``gzip``, ``deflate`` or ``zstd``.
        most: Bytes that the result may have; inflation stops there.

    Raises:
        PayloadTooLargeError: The result would be larger.
        PayloadError: The encoding is unknown or the data is damaged.
    """
    if encoding in ("", "identity"):
        result = body
    elif encoding in ("gzip", "deflate"):
        result = _zlib(body, encoding, most)
    elif encoding == "zstd":
        result = _zstd(body, most)
    else:
        raise PayloadError(
            f"unknown Content-Encoding: got {encoding[:40]!r}. "
            "Accepted: gzip, deflate, zstd, identity. Next: compress with gzip."
        )
    if len(result) > most:
        raise PayloadTooLargeError(
            f"request too large: got more than {most} bytes after decompression. "
            f"Accepted: up to {most} (request_body_bytes_max). Next: send smaller batches."
        )
    return result


def _zlib(body: bytes, encoding: str, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = body
    while rest and size <= most:  # gzip allows several members, one after the other
        decoder = zlib.decompressobj(wbits=47)  # gzip or zlib, told by the header
        try:
            parts.append(decoder.decompress(rest, most + 1 - size))
        except zlib.error as error:
            raise _damaged(encoding, str(error)) from None
        size += len(parts[-1])
        if not decoder.eof:
            if size <= most:
                raise _damaged(encoding, "the data ends too early")
            break
        rest = decoder.unused_data if encoding == "gzip" else b""
    return b"".join(parts)


def _zstd(body: bytes, most: int) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            found: bytes = stream.read(most + 1)
    except (OSError, pa.ArrowException) as error:
        raise _damaged("zstd", str(error)) from None
    return found


def _damaged(encoding: str, reason: str) -> PayloadError:
    return PayloadError(
        f"body does not decompress: got {reason[:120]}. Accepted: whole {encoding} data. "
        "Next: check Content-Encoding."
    )


def parse_protobuf(body: bytes, message: type[M]) -> M:
    """Return the message in *body*.

    Raises:
        PayloadError: The body is not such a message.
    """
    try:
        return message.FromString(body)
    except DecodeError:
        raise PayloadError(
            f"body is not the expected message: got {len(body)} bytes that do not parse. "
            f"Accepted: protobuf {message.DESCRIPTOR.full_name}. "
            "Next: check the path and the Content-Type."
        ) from None


def parse_json(body: bytes, message: type[M]) -> M:
    """Return the message in an OTLP/JSON body.

    Ids are hexadecimal in either case, enums are numbers, unknown fields are ignored.

    Raises:
        PayloadError: The body is not JSON, or not such a message.
    """
    try:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise TypeError("the document is not an object")  # noqa: TRY301 - joins the others below
        _ids_to_base64(document, 0)
        return ParseDict(document, message(), ignore_unknown_fields=True, max_recursion_depth=200)
    except (ValueError, TypeError, ParseError, binascii.Error, RecursionError) as error:
        raise PayloadError(
            f"body is not the expected message: got {str(error)[:200]}. "
            f"Accepted: OTLP/JSON {message.DESCRIPTOR.full_name}. Next: correct the field named."
        ) from None


def _ids_to_base64(node: Any, depth: int) -> None:
    """Rewrite hexadecimal ids in place, as protobuf's JSON mapping expects base64."""
    if depth > limit("nesting_depth_max") * 4:
        raise ValueError("values are nested too deeply")
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _IDS and isinstance(value, str):
                node[key] = base64.b64encode(bytes.fromhex(value)).decode()
            elif key in _ENUMS and isinstance(value, str):
                raise ValueError(f"{key} must be a number, not {value[:40]!r}")
            elif isinstance(value, (dict, list)):
                _ids_to_base64(value, depth + 1)
    elif isinstance(node, list):
        for item in node:
            if isinstance(item, (dict, list)):
                _ids_to_base64(item, depth + 1)
