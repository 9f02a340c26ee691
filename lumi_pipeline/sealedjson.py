"""Private commit objects as canonical JSON that carries its own digest.

Landings and acknowledgements are not hashed into the log, so each names its format and ends in the SHA-256 of
everything else it says: a flipped bit is found by whoever reads it. (Against a forger stand the chains and the log.)
"""

import hashlib

from lumi_pipeline.errors import RecordError
from transparency.encoding import Json, canonical_json, parse_canonical_json
from transparency.errors import EncodingError

_MAX_BYTES = 256 * 2**20


def encode_sealed(format_name: str, fields: dict[str, Json]) -> bytes:
    """Canonical JSON + LF of ``fields``, with ``format`` and ``digest`` added."""
    body: dict[str, Json] = {**fields, "format": format_name}
    return canonical_json({**body, "digest": _digest(body)}).encode() + b"\n"


def parse_sealed(format_name: str, data: bytes, fields: frozenset[str], name: str) -> dict[str, Json]:
    """Read what :func:`encode_sealed` wrote; :class:`~lumi_pipeline.errors.RecordError` naming ``name`` otherwise."""
    try:
        value = parse_canonical_json(data.removesuffix(b"\n"), _MAX_BYTES)
    except EncodingError as error:
        raise RecordError(f"{name} was altered: {error}") from None
    if not isinstance(value, dict) or set(value) != fields | {"format", "digest"} or value["format"] != format_name:
        raise RecordError(f"{name} was altered: it is not a {format_name} object")
    digest = value.pop("digest")
    if digest != _digest(value) or not data.endswith(b"\n"):
        raise RecordError(f"{name} was altered: its digest does not match its content")
    return value


def _digest(body: dict[str, Json]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()
