"""What people and machines are told of a bundle that verifies."""

from pathlib import Path

import pytest

from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.verdict import Verdict
from tests.evidence.corpus.breaks import broken
from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.case import PINNED
from tests.evidence.corpus.events import erased
from tests.evidence.corpus.signing import COSIGNATURE, Key, note
from tests.evidence.corpus.world import EVIDENCE_KEY, LOG_KEY, day_of, standard
from transparency.keys import VerifierKey
from transparency.policy import Policy

WITNESS = Key("witness.test/w", COSIGNATURE)
DAY_ENDS = 1793491200 + 86400
"""POSIX seconds of the end of 2026-11-01."""


def told(path: Path, made: Bundle, *keys: str) -> Verdict:
    for name, data in made.files().items():
        (path / name).write_bytes(data)
    return judge_bundle(path, Policy.pinning(*PINNED, *keys), "the bundle")


def cosign(made: Bundle, times: dict[int, int]) -> Bundle:
    """Have a witness sign the latest checkpoint, and those with which the days of these numbers came into the log."""
    targets = [(made.evidence, "checkpoint", DAY_ENDS + 10**6)]
    targets += [(made.days[number], "first_checkpoint", time) for number, time in times.items()]
    for target, name, time in targets:
        text = f"{target[name].partition(chr(10) * 2)[0]}\n".encode()
        target[name] = note(text, [LOG_KEY.line(text), WITNESS.line(text, time)]).decode()
    return made


def test_a_bundle_that_nobody_witnessed(tmp_path: Path) -> None:
    verdict = told(tmp_path, bundle(standard(), "globex", start=day_of(2), end=day_of(5)))
    log, evidence = (VerifierKey.parse(key.vkey).fingerprint for key in (LOG_KEY, EVIDENCE_KEY))
    assert verdict.lines == (
        "globex, 2026-11-01 to 2026-11-04: 5 events of 4 days, 2 of which have any, 1 of them before its first.",
        "They are all that the log audit.example.org/corpus commits to, and unaltered.",
        f"The log was signed by {log}, the bundle by {evidence}.",
        "Not cosigned by a witness you named: a split view of the log is not excluded.",
        "No witness you named signed when the days came into the log: only the operator vouches for when that was.",
    )
    assert verdict.facts == {
        "breaks": [],
        "checkpoint_size": "9",
        "cosigned_by": [],
        "days": 4,
        "days_not_cosigned": 4,
        "erased": 0,
        "events": "5",
        "evidence_keys": [EVIDENCE_KEY.vkey],
        "from": "2026-11-01",
        "key": LOG_KEY.vkey,
        "longest_delay_seconds": None,
        "origin": "audit.example.org/corpus",
        "split_view_excluded": False,
        "tenant": "globex",
        "to": "2026-11-04",
        "type": "lumi/evidence/v1",
    }


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (30, "less than a minute"),
        (86400 + 2 * 3600 + 300, "1 d 2 h 5 min"),
        (-5, "none, its clock said the day was not over"),
        (2**63 - 1 - DAY_ENDS, "106,751,991,146,5"),
    ],
)
def test_how_late_witnesses_signed(tmp_path: Path, late: int, words: str) -> None:
    made = cosign(bundle(standard(), start=day_of(2), end=day_of(2)), {0: DAY_ENDS + late})
    verdict = told(tmp_path, made, WITNESS.vkey)
    assert verdict.reason == "ok"
    assert verdict.lines[3] == "Cosigned by witness.test/w."
    assert f"first signature over it: {words}" in verdict.lines[4]
    assert verdict.lines[4].endswith("(2026-11-01).")
    assert verdict.facts["longest_delay_seconds"] == str(late)


def test_days_that_came_into_the_log_without_a_witness_are_counted(tmp_path: Path) -> None:
    made = cosign(bundle(standard(), start=day_of(2), end=day_of(4)), {0: DAY_ENDS + 60})
    verdict = told(tmp_path, made, WITNESS.vkey)
    assert "1 min (2026-11-01). Of 2 days no witness you named signed" in verdict.lines[4]
    assert verdict.facts["days_not_cosigned"] == 2


def test_erased_payloads_are_told(tmp_path: Path) -> None:
    made = bundle(standard(), start=day_of(2), end=day_of(2))
    made.rows[1] = erased(made.rows[1])
    verdict = told(tmp_path, made)
    assert (verdict.reason, verdict.facts["erased"]) == ("ok", 1)
    assert "The payload of 1 event was erased; its hash is still proved." in verdict.lines


def test_declared_breaks_are_named_and_nothing_is_called_unaltered(tmp_path: Path) -> None:
    verdict = told(tmp_path, broken(lambda part: part.rows.pop(2), ("missing", 14), ("link", 15)))
    assert verdict.reason == "declared-break"
    assert not any("unaltered" in line for line in verdict.lines)
    assert verdict.lines[-1] == (
        "Finding: days were sealed with declared breaks in this tenant's chain: "
        "2026-11-03: missing at seq 14, link at seq 15."
    )
    assert verdict.facts["breaks"] == [
        {"day": "2026-11-03", "kind": "missing", "seq": "14"},
        {"day": "2026-11-03", "kind": "link", "seq": "15"},
    ]
