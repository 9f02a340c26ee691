"""The log's public site, ``log/index.html``: one page, which any web server or bucket serves beside the tiles.

The page is no evidence, and nothing that verifies reads it. So it may be replaced, by a later version of this software
for instance, while everything it shows stays what it was.
"""

import re
from datetime import timedelta
from enum import Enum
from typing import Final

from lumi_pipeline.due import format_due, parse_due
from lumi_pipeline.pages import inline
from lumi_pipeline.publicfiles import PAGE, PUBLIC
from transparency.errors import ObjectMissing
from transparency.store import ObjectStore

PAGE_KEY: Final = f"{PUBLIC}{PAGE}"

_OURS: Final = b'<meta name="generator" content="lumi-pipeline log site">'
_DUE: Final = re.compile(rb'data-record-due="(\d\d:\d\d)"')
_HEAD: Final = 4096
"""Bytes in which a page says what it is."""


class SiteState(Enum):
    """What lies where the page belongs: nothing, this version's page, another one of ours, or a foreign one."""

    MISSING = "missing"
    CURRENT = "current"
    OTHER = "other"
    FOREIGN = "foreign"


def site_page(due: timedelta) -> bytes:
    """Return the page of a log whose records are due so long after the day's end."""
    return _DUE.sub(f'data-record-due="{format_due(due)}"'.encode(), inline("log.html"), count=1)


def site_state(store: ObjectStore) -> SiteState:
    """Tell what lies where the page belongs, whatever time its records are due."""
    return _state(_stored(store))


def refresh_site(store: ObjectStore, due: timedelta, *, replace_foreign: bool = False) -> SiteState:
    """Put this version's page beside the tiles, and return what was there before.

    A page that is not ours is somebody's intention, and stays unless ``replace_foreign`` is set. A crash leaves either
    page.
    """
    stored = _stored(store)
    state = _state(stored)
    page = site_page(due)
    if stored != page and (state is not SiteState.FOREIGN or replace_foreign):
        store.put(PAGE_KEY, page)
    return state


def _stored(store: ObjectStore) -> bytes | None:
    try:
        return store.get(PAGE_KEY)
    except ObjectMissing:
        return None


def _state(stored: bytes | None) -> SiteState:
    if stored is None:
        return SiteState.MISSING
    if _OURS not in stored[:_HEAD]:
        return SiteState.FOREIGN
    due = _DUE.search(stored[:_HEAD])
    try:
        current = due is not None and stored == site_page(parse_due(due[1].decode()))
    except ValueError:
        current = False
    return SiteState.CURRENT if current else SiteState.OTHER
