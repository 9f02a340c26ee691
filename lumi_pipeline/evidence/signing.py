"""What is signed of a bundle: the SHA-256 of each of its files, as the text of ``SHA256SUMS``.

Only digests are taken from whoever wrote the files, never a text: the key also signs receipts and statements, and must
not be led to sign one of those.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.bundlefiles import SUMMED
from transparency.keys import SigningKey
from transparency.note import sign_note

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def sums_text(digests: Mapping[str, str]) -> str:
    """The text of ``SHA256SUMS``, of digests in hexadecimal.

    Raises :class:`~lumi_pipeline.errors.EvidenceError` for anything but one of each file.
    """
    if digests.keys() != set(SUMMED) or not all(_DIGEST.fullmatch(digest) for digest in digests.values()):
        raise EvidenceError("those are not the checksums of a bundle's files, so they are not signed")
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def sign_sums(digests: Mapping[str, str], keys: Sequence[SigningKey]) -> bytes:
    """The bytes of ``SHA256SUMS.sig``."""
    return sign_note(sums_text(digests), keys)
