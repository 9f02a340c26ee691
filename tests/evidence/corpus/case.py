"""One bundle and the verdict that every verifier must reach about it."""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.evidence.corpus.bundle import Bundle, Files, signed, sums
from tests.evidence.corpus.world import EVIDENCE_KEY, LOG_KEY

PINNED = (LOG_KEY.vkey,)
"""What most readers bring: the log's key."""


@dataclass(frozen=True, slots=True)
class Case:
    """A bundle as ``files`` of a folder or as the bytes of a ZIP ``archive``, never both.

    ``keys`` are the vkeys the reader brings: of logs, of evidence, of witnesses.
    """

    name: str
    description: str
    exit_code: int
    reason: str
    keys: tuple[str, ...] = PINNED
    files: Mapping[str, bytes] | None = None
    archive: bytes | None = None

    def write(self, folder: Path) -> Path:
        """Put the bundle into a folder and return the path that a verifier is given.

        A folder that held another case before is changed where the two differ, which is much faster than a new one.
        """
        if self.archive is not None:
            path = folder / "bundle.zip"
            path.write_bytes(self.archive)
            return path
        path, files = folder / "bundle", self.files or {}
        path.mkdir(exist_ok=True)
        for old in path.iterdir():
            if old.name not in files:
                old.unlink()
        for name, data in files.items():
            target = path / name
            if not target.exists() or target.read_bytes() != data:
                target.write_bytes(data)
        return path


def valid(name: str, description: str, bundle: Bundle, *keys: str) -> Case:
    return Case(name, description, 0, "ok", keys or PINNED, bundle.files())


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The files in a ZIP file, which has the same bytes each time."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return output.getvalue()


FORMS = ("kept", "resummed", "resigned")
"""What became of the signed sums of a bundle that was changed: left as they were, made anew, or signed anew."""


def tampered(
    name: str,
    description: str,
    bundle: Bundle,
    edit: Callable[[Bundle], object],
    reason: str,
    *,
    forms: tuple[str, ...] = FORMS,
    keys: tuple[str, ...] = PINNED,
) -> Iterator[Case]:
    """A bundle that was honest until ``edit``, three times: as it was signed, with new sums, and signed anew.

    The last is what the operator could do. The reason is the same, so it comes from the proofs and not from the sums.
    """
    changed = bundle.copy()
    edit(changed)
    return altered(name, description, bundle, changed.content(), reason, forms=forms, keys=keys)


def altered(
    name: str,
    description: str,
    bundle: Bundle,
    content: Files,
    reason: str,
    *,
    forms: tuple[str, ...] = FORMS,
    keys: tuple[str, ...] = PINNED,
) -> Iterator[Case]:
    """The same, of files that were changed as bytes."""
    honest = bundle.files()
    for form in forms:
        files = signed(content, bundle.signers)
        if form == "kept":
            files |= {part: honest[part] for part in ("SHA256SUMS", "SHA256SUMS.sig")}
        if form == "resummed":
            files |= {"SHA256SUMS": sums(content), "SHA256SUMS.sig": honest["SHA256SUMS.sig"]}
        yield Case(f"{name}.{form}", f"{description} ({form})", 1, reason, keys, files)


EVIDENCE_PINNED = (*PINNED, EVIDENCE_KEY.vkey)
