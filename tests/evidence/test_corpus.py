"""What ``lumi verify`` says of every bundle of the corpus."""

from pathlib import Path

import pytest

from lumi_pipeline.cli.targets import judge
from tests.evidence.corpus import cases
from transparency.policy import Policy


@pytest.mark.slow
def test_every_case_gets_its_verdict(tmp_path: Path) -> None:
    wrong = []
    for case in cases():
        path = case.write(tmp_path)
        verdict = judge(str(path), Policy.pinning(*case.keys) if case.keys else None)
        if (verdict.status.value, verdict.reason) != (case.exit_code, case.reason):
            wrong.append(f"{case.name}: {verdict.reason}, not {case.reason}: {' '.join(verdict.lines)}")
    assert wrong == []
