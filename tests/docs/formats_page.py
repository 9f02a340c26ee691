"""Reading docs/formats.md: its marked blocks, and its tables."""

import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")

BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>example|form): (?P<name>[a-z0-9-]+) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(kind: str) -> dict[str, str]:
    """The fenced blocks below a comment of this kind, by the name that the comment gives."""
    found = [(match["name"], match["body"]) for match in BLOCK.finditer(TEXT) if match["kind"] == kind]
    assert len(dict(found)) == len(found), "a name is used twice"
    return dict(found)


EXAMPLES = blocks("example")
FORMS = blocks("form")


def tables(heading: str) -> Iterator[list[list[str]]]:
    """Yield the tables below a heading, each a list of rows without the header, each row a list of cells."""
    level = heading.index(" ")
    _, found, section = TEXT.partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    section = re.split(rf"^#{{1,{level}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    for match in re.finditer(r"(?:^\|.*\|\n)+", section, re.MULTILINE):
        _, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in match.group().splitlines()]
        yield rows


def code(cell: str) -> list[str]:
    """The words in backquotes."""
    return re.findall(r"`([^`]+)`", cell)
