"""``verify.py``: right about every bundle of the corpus, short, on its own, and usable from a shell."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nacl
import pytest

from tests.evidence.corpus import Case, cases
from tests.evidence.corpus.world import LOG_KEY
from tests.evidence.standalone import SCRIPT, judge, script

BY_NAME = {case.name: case for case in cases()}
TIMEOUT = 60


def wrongly_judged(chosen: list[Case], folder: Path) -> list[str]:
    wrong = []
    for case in chosen:
        verdict = judge(case.write(folder), case.keys)
        if verdict != (case.exit_code, case.reason):
            wrong.append(f"{case.name}: {verdict}, not {case.reason}")
    return wrong


def test_one_case_of_each_reason(tmp_path: Path) -> None:
    assert wrongly_judged(list({case.reason: case for case in cases()}.values()), tmp_path) == []


@pytest.mark.slow
def test_every_case(tmp_path: Path) -> None:
    assert wrongly_judged(cases(), tmp_path) == []


def test_an_auditor_can_read_it() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 120
    assert all(line.isprintable() for line in lines)


def test_it_needs_only_python_and_pynacl() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"nacl"}
    block = re.search(r"(?m)^# /// script\n((?:#(?: .*)?\n)+)# ///$", source)
    assert block is not None
    metadata = tomllib.loads(re.sub(r"(?m)^# ?", "", block[1]))
    assert metadata == {"requires-python": ">=3.11", "dependencies": ["pynacl"]}


@pytest.mark.parametrize("name", sorted(BY_NAME["plain"].files or {}))
def test_a_link_in_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = BY_NAME["plain"].write(tmp_path)
    (path / name).rename(tmp_path / "elsewhere")
    (path / name).symlink_to(tmp_path / "elsewhere")
    assert judge(path, (LOG_KEY.vkey,)) == (1, "bundle-format")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = BY_NAME["plain"].write(tmp_path)
    (path / "README.txt").unlink()
    (path / "README.txt").mkdir()
    assert judge(path, (LOG_KEY.vkey,)) == (1, "bundle-format")


def test_other_things_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    path = BY_NAME["plain"].write(tmp_path)
    (path / "working papers").mkdir()
    (path / "latest").symlink_to("nowhere")
    assert judge(path, (LOG_KEY.vkey,)) == (0, "ok")


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    assert judge(tmp_path / "bundle", ()) == (2, "missing")


def test_keys_may_be_in_files(tmp_path: Path) -> None:
    path = BY_NAME["cosigned"].write(tmp_path)
    pinned = tmp_path / "pinned"
    pinned.write_text("\n".join(BY_NAME["cosigned"].keys) + "\n", encoding="utf-8")
    assert judge(path, (str(pinned),)) == (0, "ok")
    pinned.write_text("a key that I trust\n", encoding="utf-8")
    assert judge(path, (str(pinned),)) == (2, "usage")


@pytest.mark.parametrize(
    "key",
    [
        "nonsense",
        LOG_KEY.vkey.replace("+0", "+1"),
        "PRIVATE+KEY+audit.example.org/corpus+08fe5917+ASECRETSECRETSECRETSECRETSECRETSECRETSECRETS",
        "x" * 5000,
    ],
)
def test_what_is_no_key_is_a_mistake_and_not_repeated(tmp_path: Path, key: str) -> None:
    verdict = script().verify(BY_NAME["plain"].write(tmp_path), [key])
    assert (verdict["exit_code"], verdict["reason"]) == (2, "usage")
    assert key not in str(verdict)


def test_the_verdict_says_what_was_checked(tmp_path: Path) -> None:
    case = BY_NAME["cosigned"]
    verdict = script().verify(case.write(tmp_path), list(case.keys))
    text = "VERIFIED (ok): all 13 events of acme, 2026-11-01 to 2026-11-04; cosigned by witness.example.net/w1 at "
    assert verdict["messages"][0].startswith(text)
    assert (verdict["tenant"], verdict["events"], verdict["log"]) == ("acme", 13, "audit.example.org/corpus")
    assert json.loads(json.dumps(verdict))["period"] == ["2026-11-01", "2026-11-04"]


def test_a_failure_says_where(tmp_path: Path) -> None:
    case = BY_NAME["tenant-proof-altered.kept"]
    verdict = script().verify(case.write(tmp_path), list(case.keys))
    assert verdict["messages"] == ["NOT VERIFIED (tenant-map): 2026-11-01: not what the log has of the tenant"]
    case = BY_NAME["cell-actor_id.kept"]
    verdict = script().verify(case.write(tmp_path), list(case.keys))
    assert verdict["messages"][0].startswith("NOT VERIFIED (integrity-hash): 2026-11-01, seq 8: ")


@pytest.fixture(scope="module")
def only_pynacl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from in which PyNaCl is, and what it is built on, and nothing else that is installed here."""
    folder = tmp_path_factory.mktemp("pynacl")
    for found in Path(nacl.__file__).parents[1].iterdir():
        if found.name == "nacl" or found.name.startswith(("_cffi_backend", "cffi", "pycparser")):
            (folder / found.name).symlink_to(found)
    return folder


def run(folder: Path | None, program: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with the standard library and ``folder`` to import from: no site-packages, no environment."""
    add = f"sys.path.append({str(folder)!r});" if folder else ""
    code = f"import sys, runpy; {add} sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", code, str(program), *map(str, arguments)]
    environment = {"PATH": os.defpath}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def test_alone_in_the_bundle_that_it_lies_in(only_pynacl: Path, tmp_path: Path) -> None:
    path = BY_NAME["no-key"].write(tmp_path)
    (path / "verify.py").write_bytes(SCRIPT.read_bytes())
    done = run(only_pynacl, path / "verify.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")  # for the bundle was made with another verify.py
    assert "NOT VERIFIED (checksums): SHA256SUMS does not fit verify.py" in done.stdout


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("plain", 0, "VERIFIED (ok): all 13 events of acme"),
        ("zip-no-key", 3, "NOT CONFIRMED (key-unconfirmed): consistent, but you gave no key of the log"),
        ("rows-swapped.kept", 1, "NOT VERIFIED (row-order): 2026-11-01, seq 7: "),
        ("other-folder", 2, "NOT A BUNDLE (unrecognised): "),
    ],
)
def test_alone_in_a_process(only_pynacl: Path, tmp_path: Path, name: str, code: int, words: str) -> None:
    keys = [argument for key in BY_NAME[name].keys for argument in ("--key", key)]
    done = run(only_pynacl, SCRIPT, BY_NAME[name].write(tmp_path), *keys, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(words)
    assert done.stdout.count("\n") == 1


def test_for_machines(only_pynacl: Path, tmp_path: Path) -> None:
    done = run(only_pynacl, SCRIPT, BY_NAME["plain"].write(tmp_path), "--json", "--key", LOG_KEY.vkey, cwd=tmp_path)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["exit_code"], verdict["reason"], verdict["events"]) == (0, 0, "ok", 13)


def test_without_pynacl_nothing_is_judged(tmp_path: Path) -> None:
    done = run(None, SCRIPT, BY_NAME["plain"].write(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "verify.py needs PyNaCl for signatures: pip install pynacl\n"
