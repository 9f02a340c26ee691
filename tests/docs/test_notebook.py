"""The notebook in docs/ runs from its first cell to its last, and finds what it says it finds."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.ending import execute

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "dismissals.ipynb"


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = tmp_path / "demo"
    assert execute(app, "lumi", ["demo", "--root", str(demo), "--events", "3000", "--tenants", "2"]) == 0
    assert execute(app, "lumi", ["--config", str(demo / "lumi.toml"), "run"]) == 0
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)  # what a run shows is about that run's events

    monkeypatch.setenv("LUMI_CONFIG", str(demo / "lumi.toml"))
    monkeypatch.chdir(NOTEBOOK.parent)  # where a notebook runs
    names: dict[str, Any] = {}
    shown = [run("".join(cell["source"]), names) for cell in cells]
    dismissed, people, timeline = (names[name].to_pylist() for name in ("dismissed", "people", "timeline"))
    assert f"'lumi prove {dismissed[0]['event_id']}'" in shown
    assert "RECOMMENDATION_DISMISSED" in shown[1]
    assert names["tenant"] in shown[-2]
    assert {row["actor_id"] for row in dismissed} == {row["actor_id"] for row in people}
    first = {row["event_id"] for row in dismissed if row["actor_id"] == people[0]["actor_id"]}
    assert first < {row["event_id"] for row in timeline}


def run(source: str, names: dict[str, Any]) -> str:
    """Run a cell; return what a notebook shows of it, which is the value of an expression at its end."""
    *statements, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        statements, last = [*statements, last], ast.Expr(ast.Constant(""))
    exec(compile(ast.Module(statements, []), str(NOTEBOOK), "exec"), names)  # noqa: S102 - our own cells
    value = eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)  # noqa: S307 - our own cells
    return repr(value)
