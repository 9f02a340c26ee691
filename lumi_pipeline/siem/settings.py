"""``[[destinations]]``: who gets which events, and how. Checked when the configuration is read; nothing is opened."""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.siem import destinations as kinds
from lumi_pipeline.siem.options import Given, Option, choice, flag, number, path, proxy_url, read_options, text, texts
from transparency.encoding import excerpt, parse_day
from transparency.errors import FormatError

FORMATS: Final = ("native", "ocsf")
MAX_DESTINATIONS: Final = 1000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TENANT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ACTION: Final = re.compile(r"[A-Z][A-Z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: of these tenants and these actions; None stands for all.

    A destination without ``tenants`` gets those of all tenants but the operator's own.
    """

    tenants: frozenset[str] | None = None
    actions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where within a destination events go. Events of two routes are never in one request.

    ``options`` are the destination's, with what this route sets of them instead.
    """

    name: str
    selection: Selection
    options: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """One destination, checked.

    ``since`` is the UTC day of recording from which on events are sent by themselves; None: the day on which the
    destination is first planned. ``isolate``: never two tenants in one request. ``deadline``: how long delivery of a
    batch is tried. The last of ``routes`` takes what no other does.
    """

    name: str
    kind: str
    selection: Selection
    format: str
    since: date | None
    isolate: bool
    ordered: bool
    concurrency: int
    deadline: timedelta
    timeout: float
    allow_private: bool
    ca_file: Path | None
    proxy: str | None
    options: Mapping[str, object] = field(repr=False)
    routes: tuple[Route, ...] = field(repr=False)


def _tenants(given: Given) -> frozenset[str]:
    values = texts(given)
    for value in values:
        if not _TENANT_ID.fullmatch(value):
            raise given.wrong(f"a list of tenant ids; {excerpt(value)} is none")
    return frozenset(values)


def _actions(given: Given) -> frozenset[str]:
    values = texts(given)
    for value in values:
        if not _ACTION.fullmatch(value):
            raise given.wrong(f"a list of actions such as 'LOGIN'; {excerpt(value)} is none")
    return frozenset(values)


def _since(given: Given) -> date:
    if type(given.value) is date:  # TOML has days of its own
        return given.value
    if given.value == "beginning":
        return date.min
    try:
        return parse_day(text(given))
    except FormatError:
        raise given.wrong("a day (YYYY-MM-DD) or 'beginning'") from None


def _name(given: Given) -> str:
    value = text(given)
    if not _NAME.fullmatch(value):
        raise given.wrong("1 to 63 of a-z 0-9 -, no - first: it becomes a folder's name")
    return value


_SELECTION: Final = {"tenants": Option(_tenants), "actions": Option(_actions)}
_COMMON: Final[Mapping[str, Option]] = {
    "name": Option(_name, required=True),
    "kind": Option(text, required=True),
    **_SELECTION,
    "format": Option(choice(*FORMATS), "native"),
    "since": Option(_since),
    "isolate": Option(flag, default=False),
    "ordered": Option(flag, default=False),
    "concurrency": Option(number(1, 64), 4),
    "deadline_days": Option(number(1, 365), 7),
    "timeout": Option(number(1, 600), 30),
    "allow_private": Option(flag, default=False),
    "ca_file": Option(path),
    "proxy": Option(proxy_url),
}


def known_kinds() -> tuple[str, ...]:
    """The kinds of destinations there are."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(kinds.__path__)))


def kind_options(kind: str) -> Mapping[str, Option]:
    """What can be set of a kind of destination besides what every destination has."""
    options: Mapping[str, Option] = importlib.import_module(f"{kinds.__name__}.{kind}").OPTIONS
    return options


def read_destinations(value: object, source: str, base: Path) -> tuple[DestinationSettings, ...]:
    """Check ``[[destinations]]``; :class:`~lumi_pipeline.errors.ConfigError` names what is wrong."""
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ConfigError(f"{source} must be tables, each headed [[destinations]]")
    if len(value) > MAX_DESTINATIONS:
        raise ConfigError(f"{source}: {len(value)} are more than {MAX_DESTINATIONS}")
    read = tuple(_destination(table, f"{source}[{i}]", base) for i, table in enumerate(value))
    seen: set[str] = set()
    for settings in read:
        if settings.name in seen:
            raise ConfigError(f"{source}: two destinations are named {settings.name!r}; names are for one each")
        seen.add(settings.name)
    return read


def _destination(table: Mapping[str, object], source: str, base: Path) -> DestinationSettings:
    if isinstance(table.get("name"), str):
        source = f"{source} ({excerpt(str(table['name']))})"
    kind = table.get("kind")
    known = known_kinds()
    if "kind" not in table:
        raise ConfigError(f"{source}: 'kind' is missing; it is one of {', '.join(known)}")
    if kind not in known:
        nearest = difflib.get_close_matches(str(kind)[:100], known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"{source}: kind must be one of {', '.join(known)}; did you mean {nearest!r}?")
    own = kind_options(str(kind))
    rest = {name: given for name, given in table.items() if name != "routes"}
    values = read_options({**_COMMON, **own}, rest, source, base)
    options = {name: values[name] for name in own}
    selection = _selection(values)
    return DestinationSettings(
        name=str(values["name"]),
        kind=str(kind),
        selection=selection,
        format=str(values["format"]),
        since=values["since"] if isinstance(values["since"], date) else None,
        isolate=bool(values["isolate"]),
        ordered=bool(values["ordered"]),
        concurrency=int(str(values["concurrency"])),
        deadline=timedelta(days=int(str(values["deadline_days"]))),
        timeout=float(str(values["timeout"])),
        allow_private=bool(values["allow_private"]),
        ca_file=values["ca_file"] if isinstance(values["ca_file"], Path) else None,
        proxy=None if values["proxy"] is None else str(values["proxy"]),
        options=options,
        routes=(*_routes(table.get("routes", []), own, options, source, base), Route("default", Selection(), options)),
    )


def _selection(values: Mapping[str, object]) -> Selection:
    tenants, actions = values["tenants"], values["actions"]
    return Selection(
        tenants if isinstance(tenants, frozenset) else None, actions if isinstance(actions, frozenset) else None
    )


def _routes(
    value: object, own: Mapping[str, Option], options: Mapping[str, object], source: str, base: Path
) -> list[Route]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ConfigError(f"{source}: routes must be tables, each headed [[destinations.routes]]")
    routable = {name: option for name, option in own.items() if option.routable}
    routes: list[Route] = []
    for i, table in enumerate(value):
        here = f"{source}: routes[{i}]"
        settable = {name: Option(option.parse) for name, option in routable.items()}
        values = read_options({"name": Option(_name, required=True), **_SELECTION, **settable}, table, here, base)
        if values["tenants"] is None and values["actions"] is None:
            raise ConfigError(f"{here}: 'tenants' or 'actions' must say what takes this route")
        name = str(values["name"])
        if name in {"default", *(route.name for route in routes)}:
            raise ConfigError(f"{here}: another route is named {name!r}")
        changed = {name: values[name] for name in routable if name in table}
        routes.append(Route(name, _selection(values), {**options, **changed}))
    return routes
