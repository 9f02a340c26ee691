"""``lumi investigate``: the list, the explanation, the answer in every form, and the case folder."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.system import Lumi, System, record


@pytest.fixture
def system(published: System, lumi: Lumi) -> System:
    """Two published days, and one that is landed and not sealed; the analyst database knows all three."""
    record(published.outbox, published.days[1] + timedelta(days=1))
    assert lumi("land").code == 0
    assert lumi("analyst", "build").code == 0
    return published


def somebody(lumi: Lumi) -> str:
    query = (
        "SELECT actor_id FROM activity GROUP BY ALL HAVING bool_or(sealed) AND NOT bool_and(sealed) ORDER BY 1 LIMIT 1"
    )
    return str(json.loads(lumi("sql", query, "--format", "json").out)["actor_id"])


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration, and no database."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_the_list_and_what_each_asks(lumi: Lumi) -> None:
    listed = lumi("investigate")
    assert listed.code == 0
    assert "viewed-then-dismissed  Who viewed a recommendation and then dismissed it" in listed.out
    known = lumi("investigate", "--format", "json").json["investigations"]
    assert isinstance(known, list)
    assert len(known) == len(listed.out.splitlines()) - 1 >= 10
    for one in known:
        told = lumi("investigate", one["name"], "--explain").out
        assert one["title"] in told
        assert one["example"] in told
        assert "SELECT" in told
        for parameter in one["parameters"]:
            assert f"  {parameter['name']} ({parameter['type']}" in told
    assert "SELECT" in str(lumi("investigate", "mass-export", "--explain", "--json").json["sql"])


@pytest.mark.usefixtures("system")
def test_one_answer_in_every_form(lumi: Lumi) -> None:
    who = somebody(lumi)
    asked = ("investigate", "user-timeline", "--param", f"user={who}")
    lines = [json.loads(line) for line in lumi(*asked, "--format", "json").out.splitlines()]
    assert lines
    assert {line["actor_id"] for line in lines} == {who}
    ids = [line["event_id"] for line in lines]
    rows = list(csv.DictReader(io.StringIO(lumi(*asked, "--format", "csv").out)))
    assert [row["event_id"] for row in rows] == ids
    assert lumi(*asked, "-o", "rows.parquet").code == 0
    assert pq.read_table("rows.parquet")["event_id"].to_pylist() == ids
    table = lumi(*asked).out
    assert all(event_id in table for event_id in ids)
    narrowed = lumi(*asked, "--tenant", "acme", "--format", "json").out.splitlines()
    assert [json.loads(line)["event_id"] for line in narrowed] == [
        line["event_id"] for line in lines if line["tenant_id"] == "acme"
    ]


@pytest.mark.usefixtures("system")
def test_nothing_found_is_said_and_so_is_whom_nobody_knows(lumi: Lumi) -> None:
    for arguments, said in (
        (["mass-export"], "mass-export found nothing."),
        (["mass-export", "--tenant", "acne", "--json"], "found nothing; no event at all has that tenant."),
        (["user-timeline", "--param", "user=nobody"], "found nothing; no event at all has that user."),
        (["mass-export", "--evidence", "case"], "mass-export found nothing."),
    ):
        done = lumi("investigate", *arguments)
        assert (done.code, done.err.splitlines()[0].endswith(said)) == (0, True), done.err
        assert "nothing" not in done.out


def test_evidence_proves_every_sealed_event_and_names_the_others(system: System, lumi: Lumi) -> None:
    asked = ("investigate", "user-timeline", "--param", f"user={somebody(lumi)}", "--format", "json")
    done = lumi(*asked, "--evidence", "case")
    assert done.code == 0
    ids = [json.loads(line)["event_id"] for line in done.out.splitlines()]
    sealed = [event_id for event_id in ids if event_id in system.event_ids]
    assert 0 < len(sealed) < len(ids)
    case = json.loads(Path("case/case.json").read_text(encoding="utf-8"))
    assert case["proved"] == sealed
    assert case["unsealed"] == [event_id for event_id in ids if event_id not in sealed]
    assert case["parameters"]["user"]
    assert case["investigation"] == "user-timeline"
    for event_id in case["unsealed"]:
        assert f"without proof: {event_id}" in done.err
    proofs = [f"case/{event_id}.tlog-proof" for event_id in sealed]
    assert lumi("verify", *proofs, "--key", "lake/log/log.vkey").code == 0
    assert sorted(path.name for path in Path("case").iterdir()) == sorted(
        ["case.json", "question.sql", "rows.csv", *(Path(proof).name for proof in proofs)]
    )
    rows = list(csv.DictReader(io.StringIO(Path("case/rows.csv").read_text(encoding="utf-8"))))
    assert [row["event_id"] for row in rows] == ids
    again = lumi(*asked, "--evidence", "case")
    assert again.code == 2
    assert "case is there already" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 2, "there is no investigation 'nothing'; there are: dormant-account"),
        (["mass-export", "--param", "score=high"], 2, "parameter score: a decimal number"),
        (["mass-export", "--param", "limit=1"], 2, "no parameter 'limit'"),
        (["mass-export", "--param", "score"], 2, "NAME=VALUE"),
        (["mass-export", "--param", "score=1", "--param", "score=2"], 2, "given twice"),
        (["mass-export", "--param", "tenant=a", "--tenant", "b"], 2, "given twice"),
        (["user-timeline"], 2, "needs --param user="),
        (["--tenant", "acme"], 2, "name the investigation"),
        (["--explain"], 2, "name the investigation"),
        (["--format", "csv"], 2, "are for rows"),
        (["-o", "list.json"], 2, "are for rows"),
        (["mass-export", "--explain", "-o", "told.json"], 2, "are for rows"),
        (["mass-export", "--param", "since=2026-11-17", "--param", "until=2026-11-16"], 2, "before it begins"),
        (["mass-export", "--param", "tenant=\udcff"], 2, "is no text in UTF-8"),
        (["mass-export"], 1, "lumi analyst build"),
    ],
)
@pytest.mark.usefixtures("nowhere")
def test_mistakes_are_explained(arguments: list[str], code: int, message: str, lumi: Lumi) -> None:
    done = lumi("investigate", *arguments)
    assert done.code == code
    assert message in " ".join(done.err.split())
