"""Private commit objects as canonical JSON that carries its own digest.

Landings and acknowledgements are not hashed into the log, so each names its format and ends in the SHA-256 of
everything else it says: a flipped bit is found by whoever reads it. (Against a forger stand the chains and the log.)
"""

import hashlib
from collections.abc import Mapping

from lumi_pipeline.errors import RecordError
from transparency.encoding import MAX_JSON_TOKENS, Json, canonical_json, parse_canonical_json
from transparency.errors import EncodingError

_MAX_BYTES = 256 * 2**20


def encode_sealed(format_name: str, fields: dict[str, Json]) -> bytes:
    """Canonical JSON + LF of ``fields``, with ``format`` and ``digest`` added."""
    body: dict[str, Json] = {**fields, "format": format_name}
    return canonical_json({**body, "digest": _digest(body)}).encode() + b"\n"


def parse_sealed(format_name: str, data: bytes, fields: frozenset[str], name: str) -> dict[str, Json]:
    """Read what :func:`encode_sealed` wrote; :class:`~lumi_pipeline.errors.RecordError` naming ``name`` otherwise."""
    return parse_any_sealed({format_name: fields}, data, name)


def parse_any_sealed(
    formats: Mapping[str, frozenset[str]], data: bytes, name: str, *, max_tokens: int = MAX_JSON_TOKENS
) -> dict[str, Json]:
    """The same for an object of one of several formats, each with its fields; ``format`` is among what it returns.

    ``max_tokens`` bounds its strings, commas and brackets.
    """
    try:
        value = parse_canonical_json(data.removesuffix(b"\n"), _MAX_BYTES, max_tokens=max_tokens)
    except EncodingError as error:
        raise RecordError(f"{name} was altered: {error}") from None
    form = value.get("format") if isinstance(value, dict) else None
    fields = formats.get(form) if isinstance(form, str) else None
    if not isinstance(value, dict) or fields is None or set(value) != fields | {"format", "digest"}:
        raise RecordError(f"{name} was altered: it is not a {' or '.join(formats)} object")
    digest = value.pop("digest")
    if digest != _digest(value) or not data.endswith(b"\n"):
        raise RecordError(f"{name} was altered: its digest does not match its content")
    return value


def _digest(body: dict[str, Json]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()
