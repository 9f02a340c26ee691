"""Options that several commands share, and the way from them to a configuration and a pipeline."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from lumi_pipeline.config import SETTINGS, Config, load_config
from lumi_pipeline.errors import LumiError
from lumi_pipeline.wording import is_text
from transparency.encoding import parse_day

if TYPE_CHECKING:
    from lumi_pipeline.pipeline import Pipeline

_Function = TypeVar("_Function", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about the configuration; every command finds it as the context's object."""

    file: Path | None = None
    overrides: dict[str, str | None] = field(default_factory=dict)

    def config(self) -> Config:
        """Read the configuration."""
        return load_config(self.file, overrides=self.overrides)

    def pipeline(self) -> "Pipeline":
        """Open the outbox, the lake and the keys of the configuration."""
        from lumi_pipeline.pipeline import Pipeline

        return Pipeline.open(self.config())


class DayType(click.ParamType[date]):
    """A day, written YYYY-MM-DD."""

    name = "day"

    def convert(self, value: str | date, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse the day or end with a usage error."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(value)
        except LumiError as error:
            self.fail(str(error), param, ctx)


class TextType(click.ParamType[str]):
    """Text in UTF-8, as all that events hold; whatever else an argument may be, no event has it."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as it is, or end with a usage error."""
        if not is_text(value):
            self.fail(f"{value!r} is no text in UTF-8", param, ctx)
        return value


DAY = DayType()
TEXT = TextType()
PATH = click.Path(path_type=Path)


def config_option(function: _Function) -> _Function:
    """Let the command take ``--config``, as ``lumi`` itself does; the nearer one wins."""

    def keep(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            ctx.obj = replace(ctx.obj, file=value)

    return click.option(
        "--config", metavar="FILE", type=PATH, expose_value=False, callback=keep, help="Read this lumi.toml."
    )(function)


def setting_options(function: _Function) -> _Function:
    """Give ``lumi`` one option for every setting; they come before the command."""
    for setting in reversed(SETTINGS):
        default = f" [{setting.default}]" if setting.default else ""
        function = click.option(
            setting.option, setting.name, metavar="VALUE", help=f"{setting.meaning} {setting.variable}{default}"
        )(function)
    return function


def param_option(meaning: str) -> Callable[[_Function], _Function]:
    """Let the command take ``--param NAME=VALUE`` for any number of names; it gets the texts by name."""

    def collect(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
        texts: dict[str, str] = {}
        for text in given:
            name, sign, value = text.partition("=")
            if not sign or not name.isidentifier():
                raise click.BadParameter(f"{text!r} is not NAME=VALUE")
            if name in texts:
                raise click.BadParameter(f"{name} is given twice")
            texts[name] = value
        return texts

    return click.option(
        "--param", "texts", metavar="NAME=VALUE", type=TEXT, multiple=True, callback=collect, help=meaning
    )


def json_option(function: _Function) -> _Function:
    """Let the command take ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(function)
