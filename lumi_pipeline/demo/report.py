"""What a demo consists of, as a value and as ``demo.json`` beside the outbox: so that a later call can still tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lumi_pipeline.demo.stories import Story
from lumi_pipeline.errors import LumiError
from transparency.encoding import Json, canonical_json, parse_canonical_json, parse_day
from transparency.errors import EncodingError

CONFIG_NAME = "lumi.toml"
OUTBOX_NAME = "outbox.db"
SUMMARY_NAME = "demo.json"

_FORMAT = "lumi/demo/v1"
_MAX_BYTES = 1 << 20


class DemoError(LumiError):
    """A demo cannot be made as asked, or not in that directory."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What lies in the directory. ``created`` is False if it was all there before; then nothing was added.

    ``tenants`` are largest first, both days are included, ``stories`` are those that were planted, ``seconds`` is how
    long the call took.
    """

    created: bool
    root: Path
    first_day: date
    last_day: date
    tenants: tuple[str, ...]
    events: int
    seed: int
    stories: tuple[Story, ...]
    seconds: float = 0.0

    @property
    def config(self) -> Path:
        """The ``lumi.toml`` to give to ``lumi --config``."""
        return self.root / CONFIG_NAME

    @property
    def outbox(self) -> Path:
        """The SQLite database."""
        return self.root / OUTBOX_NAME

    def summary(self) -> bytes:
        """Write what a later call has to know as canonical JSON and LF."""
        stories: list[Json] = [
            {
                "actor_id": story.actor_id,
                "event_ids": list(story.event_ids),
                "name": story.name,
                "summary": story.summary,
                "tenant_ids": list(story.tenant_ids),
            }
            for story in self.stories
        ]
        document: Json = {
            "events": self.events,
            "first_day": self.first_day.isoformat(),
            "format": _FORMAT,
            "last_day": self.last_day.isoformat(),
            "seed": self.seed,
            "stories": stories,
            "tenants": list(self.tenants),
        }
        return f"{canonical_json(document)}\n".encode()


def read_report(root: Path) -> DemoReport | None:
    """Return the report of the demo that lies in ``root``, or None if there is no outbox yet.

    Raises :class:`DemoError` when there is an outbox that no demo left there.
    """
    if not (root / OUTBOX_NAME).exists():
        return None
    path = root / SUMMARY_NAME
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        document = _table(parse_canonical_json(data.removesuffix(b"\n"), _MAX_BYTES))
        return DemoReport(
            created=False,
            root=root,
            first_day=parse_day(_text(document, "first_day")),
            last_day=parse_day(_text(document, "last_day")),
            tenants=_texts(document, "tenants"),
            events=_number(document, "events"),
            seed=_number(document, "seed"),
            stories=tuple(_story(_table(story)) for story in _values(document, "stories")),
        )
    except (OSError, EncodingError) as error:
        raise DemoError(
            f"{root} holds an {OUTBOX_NAME} but no readable {SUMMARY_NAME} ({error}), so it is not a whole demo;"
            " choose another directory, or remove this one"
        ) from None


def _story(table: Mapping[str, Json]) -> Story:
    return Story(
        name=_text(table, "name"),
        summary=_text(table, "summary"),
        tenant_ids=_texts(table, "tenant_ids"),
        actor_id=_text(table, "actor_id"),
        event_ids=_texts(table, "event_ids"),
    )


def _table(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise EncodingError("an object is missing")
    return value


def _text(table: Mapping[str, Json], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str):
        raise EncodingError(f"{key} is not text")
    return value


def _number(table: Mapping[str, Json], key: str) -> int:
    value = table.get(key)
    if not isinstance(value, int):
        raise EncodingError(f"{key} is not a number")
    return value


def _values(table: Mapping[str, Json], key: str) -> list[Json]:
    value = table.get(key)
    if not isinstance(value, list):
        raise EncodingError(f"{key} is not a list")
    return value


def _texts(table: Mapping[str, Json], key: str) -> tuple[str, ...]:
    return tuple(_text({key: value}, key) for value in _values(table, key))
