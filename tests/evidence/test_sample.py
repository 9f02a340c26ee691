"""Samples: the same for everybody who knows the nonce, of events that the bundle has, each with a proof that holds."""

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from lumi_pipeline.cli.app import app
from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.sampling import SampledFrom, draw_sample, drawn_rows
from lumi_pipeline.proofs import verify_proof
from tests.evidence.corpus import Case, cases
from transparency.policy import Policy

DAY = date(2026, 11, 21)
VECTOR = [355, 428, 572, 769, 994]
GOOD = {case.name: case for case in cases() if case.exit_code == 0}


def bundle(tmp_path: Path, name: str = "plain-days") -> tuple[Case, Path]:
    case = GOOD[name] if name in GOOD else next(iter(GOOD.values()))
    return case, case.write(tmp_path)


def test_a_sample_is_the_same_for_the_same_nonce_and_another_for_another(tmp_path: Path) -> None:
    _, path = bundle(tmp_path)
    first, again, other = (draw_sample(path, 3, nonce) for nonce in ("a", "a", "b"))
    assert first.events.equals(again.events)
    assert first.proofs == again.proofs
    assert first.proofs.keys() != other.proofs.keys()


def test_the_vector_of_the_specification() -> None:
    about = SampledFrom("audit.example.com/lumi", "sa0lHLUNrnB36i/bPt0EhFkYIWplT8n/yCDB79pOcpY=", "acme", DAY, DAY)
    assert sorted(drawn_rows(about, 1000, 5, "dice: 4 1 6 2")) == VECTOR
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text()
    assert ", ".join(map(str, VECTOR)) in page


def test_all_of_them() -> None:
    about = SampledFrom("o", "r", "t", DAY, DAY)
    assert drawn_rows(about, 1, 1, "x") == {0}
    assert drawn_rows(about, 5, 5, "x") == {0, 1, 2, 3, 4}


def test_every_event_is_as_likely_as_any() -> None:
    about = SampledFrom("o", "r", "t", DAY, DAY)
    hits = [0] * 7
    for nonce in range(1400):
        for row in drawn_rows(about, 7, 2, str(nonce)):
            hits[row] += 1
    assert sum(hits) == 2800
    assert all(330 < count < 470 for count in hits)  # 400 expected, standard deviation 17


@pytest.mark.parametrize("name", sorted(GOOD))
def test_each_drawn_event_is_proved_by_the_bundle_alone(tmp_path: Path, name: str) -> None:
    case, path = bundle(tmp_path, name)
    try:
        sample = draw_sample(path, 1000, "all of them")
    except EvidenceError as error:
        assert "no events" in str(error)  # noqa: PT017 - a bundle of idle days has nothing to draw
        return
    assert len(sample.events) == sample.population == len(sample.proofs)
    policy = Policy.pinning(*(key for key in case.keys if "/evidence+" not in key))
    for event_id, proof in sample.proofs.items():
        verdict = verify_proof(proof, policy, event_id)
        assert (verdict.reason, verdict.facts["event_id"]) == ("ok", event_id)


def test_the_command(tmp_path: Path) -> None:
    case, path = bundle(tmp_path)
    out = tmp_path / "drawn"
    command = [
        "sample",
        "--evidence",
        str(path),
        "-n",
        "2",
        "--nonce",
        "dice",
        "--out",
        str(out),
        "--key",
        case.keys[0],
    ]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    assert "Drew 2 of" in ran.output
    with (out / "sample.csv").open("rb") as file:
        assert sum(len(table) for table in read_events(file, 0)) == 2
    assert len(list(out.glob("*.tlog-proof"))) == 2
    assert CliRunner().invoke(app, command).exit_code == 2  # the directory is there


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_number_that_is_none(tmp_path: Path, count: int) -> None:
    with pytest.raises(EvidenceError, match="1 to 10,000"):
        draw_sample(bundle(tmp_path)[1], count, "x")
