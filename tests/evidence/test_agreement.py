"""The script and the package share no code, and say the same of bundles that nobody thought of."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lumi_pipeline.evidence.judging import judge_bundle
from tests.evidence.corpus import cases
from tests.evidence.corpus.case import EVIDENCE_PINNED, PINNED, Case, zipped
from tests.evidence.corpus.world import EVIDENCE_KEY, WITNESS
from tests.evidence.damage import damaged_bundle, damaged_bytes, damaged_files
from tests.evidence.standalone import judge
from transparency.policy import Policy

BUNDLES = int(os.environ.get("EVIDENCE_BUNDLES", "60"))
"""How many are damaged in each way; thousands take a few minutes."""


def disagreement(case: Case, folder: Path) -> str | None:
    path = case.write(folder)
    script = judge(path, case.keys)
    verdict = judge_bundle(path, Policy.pinning(*case.keys) if case.keys else None)
    package = (verdict.status.value, verdict.reason)
    return None if script == package else f"{case.name}: the script says {script}, the package {package}"


@pytest.mark.slow
def test_about_damaged_files(tmp_path: Path) -> None:
    random = Random(1)
    folders = [case for case in cases() if case.files and case.reason in {"ok", "key-unconfirmed", "declared-break"}]
    found = []
    for number in range(BUNDLES):
        case = random.choice(folders)
        files = damaged_files(random, dict(case.files or {}))
        found.append(disagreement(Case(f"{case.name} {number}", "", 1, "", case.keys, files), tmp_path))
    assert [problem for problem in found if problem] == []


@pytest.mark.slow
def test_about_damaged_archives(tmp_path: Path) -> None:
    random = Random(2)
    plain = next(case for case in cases() if case.name == "one-day")
    archives = [zipped(plain.files or {}, method) for method in (0, 8)]
    found = []
    for number in range(BUNDLES):
        archive = damaged_bytes(random, random.choice(archives))
        found.append(disagreement(Case(f"archive {number}", "", 1, "", PINNED, archive=archive), tmp_path))
    assert [problem for problem in found if problem] == []


@pytest.mark.slow
def test_about_operators_who_cheat(tmp_path: Path) -> None:
    random = Random(3)
    others: list[dict[str, Any]] = []
    readers = [PINNED] * 6 + [(), (*PINNED, WITNESS.vkey), EVIDENCE_PINNED, (EVIDENCE_KEY.vkey,), (WITNESS.vkey,)]
    found = []
    for number in range(BUNDLES):
        files = damaged_bundle(random, others).files()
        found.append(disagreement(Case(f"bundle {number}", "", 1, "", random.choice(readers), files), tmp_path))
    assert [problem for problem in found if problem] == []
