"""How a web server or bucket has to answer for the log's public files: as what, and how long the answer is good."""

from typing import Final

PUBLIC: Final = "log/"
"""The prefix of everything public in a lake's store."""

PAGE: Final = "index.html"
"""The log's site. It is no evidence, and like ``checkpoint`` it is replaced."""

_UNCHANGING: Final = "public, max-age=31536000, immutable"


def content_type(path: str) -> str:
    """The media type of a file below the log's address (C2SP tlog-tiles, "Parameters": checkpoint and tiles)."""
    if path == PAGE:
        return "text/html; charset=utf-8"
    return "application/octet-stream" if path.startswith("tile/") else "text/plain; charset=utf-8"


def cache_control(path: str) -> str:
    """How long an answer may be kept: tiles for ever, a checkpoint for a minute, the rest not without asking again."""
    if path.startswith("tile/"):
        return _UNCHANGING
    return "max-age=60" if path == "checkpoint" else "no-cache"
