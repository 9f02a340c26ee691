"""The pages that an auditor opens from disk: one file each, which fetches nothing and can fetch nothing.

The sources beside this module are plain JavaScript and CSS; no build tool is needed to read or change them. A page
names the texts it wants where it wants them::

    <link rel="stylesheet" href="page.css">
    <script src="core bundle.js"></script>

and :func:`inline` puts them there. ``core`` is what every page needs: hashes, keys, notes, trees, records and proofs
(docs/formats.md §1 to §7). The page's Content-Security-Policy allows just these texts, by their hashes, in place of
``{scripts}`` and ``{styles}``.
"""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Final

CORE: Final = (
    "sha2",
    "encoding",
    "ed25519",
    "json",
    "keys",
    "note",
    "policy",
    "trees",
    "records",
    "event",
    "proof",
    "selfcheck",
)
"""The parts of ``core``, in the order in which they build upon one another."""

_STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
_SCRIPT = re.compile(r'<script((?: id="[a-z-]+")?) src="([^"]+)"></script>')
# What ends a script or a style for the HTML parser, or changes how it looks for the end.
_UNSAFE = re.compile(r"</(?:script|style)|<!--|<script", re.IGNORECASE)


def verifier_page() -> bytes:
    """Return ``verify.html``: an auditor opens it in a browser and drops an evidence bundle or a proof file on it."""
    return inline("verify.html")


def inline(page: str) -> bytes:
    """Return a page of this package as one file, with its scripts and styles in it and allowed by their hashes."""
    hashes: dict[str, list[str]] = {"style": [], "script": []}

    def put(kind: str, attributes: str, names: str) -> str:
        text = "\n" + "\n".join(_read(name) for name in _names(names))
        if _UNSAFE.search(text):
            raise ValueError(f"{names}: a {kind} that HTML would not read to its end")
        hashes[kind].append(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
        return f"<{kind}{attributes}>{text}</{kind}>"

    html = _STYLE.sub(lambda match: put("style", "", match[1]), _read(page))
    html = _SCRIPT.sub(lambda match: put("script", match[1], match[2]), html)
    for kind, sources in hashes.items():
        html = html.replace(f"{{{kind}s}}", " ".join(sources) or "'none'", 1)
    return html.encode()


def _names(words: str) -> list[str]:
    return [name for word in words.split(" ") for name in (_core() if word == "core" else [word])]


def _core() -> list[str]:
    return [f"core/{part}.js" for part in CORE]


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
