"""Reports of test worlds, and what a browser would find in their pages."""

import re
from dataclasses import dataclass, field
from datetime import date
from html.parser import HTMLParser

from lumi_pipeline.analytics.report import make_report, report_page
from tests.analytics.databases import build
from tests.lake.world import World, at

HOSTILE = [
    "</bdi></th><script>fetch('https://evil.example/')</script>",
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "{content}{title}{styles}",
    "&lt;b&gt; <!-- ]]> </style> </title>",
    "\u202egnp.exe\u2066 \x00\x1b[31m\r\n\t",
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>" * 40,
]
"""Names of people that are no names."""


@dataclass
class Found(HTMLParser):
    """The elements of a page, their attributes, and all of its text."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "link", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """What is to be read, with single blanks."""
        return re.sub(r"\s+", " ", " ".join(self.words))


def page(world: World, tenant: str | None = None, first: date | None = None, last: date | None = None) -> bytes:
    build(world)
    return report_page(make_report(world.pipeline(), first, last, tenant))


def read(html: bytes) -> Found:
    """Parse a page that fetches nothing, runs nothing, and closes what it opens."""
    found = Found()
    found.feed(html.decode())
    found.close()
    assert found.open == []
    assert {"script", "img", "iframe", "object", "form", "base"}.isdisjoint(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in {"src", "style", "srcset"}]
    links = {value for name, value in found.attributes if name in {"href", "xlink:href"}}
    assert all(link.startswith("#") or link == "data:," for link in links)
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    return found


def record_hostile(world: World) -> None:
    """Record an event for every hostile name, as whatever an event can be named by."""
    for number, name in enumerate(HOSTILE):
        clean = name.replace("\x00", "")
        world.record("acme", at(0, f"10:{2 * number:02}:00"), actor_name=clean, actor_id=f"u-{number}")
        world.record("acme", at(0, f"10:{2 * number + 1:02}:00"), actor_id=clean[:200], actor_name=None)
