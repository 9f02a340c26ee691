"""Evidence on the command line: written, verified, sampled, and what is refused with which exit code."""

import json
import shutil

import pytest

from tests.cli.system import Lumi, System

KEY = ("--key", "lake/log/log.vkey")


def asked(published: System) -> tuple[str, ...]:
    first, last = published.days[0], published.days[-1]
    return ("evidence", "--tenant", "acme", "--from", str(first), "--to", str(last), "--out", "audit")


@pytest.mark.parametrize("zipped", [(), ("--zip",)])
def test_what_is_written_verifies_and_can_be_sampled(published: System, lumi: Lumi, zipped: tuple[str, ...]) -> None:
    ran = lumi(*asked(published), *zipped, "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (report["days"], report["verdict"]["reason"]) == (2, "ok")
    assert lumi("verify", report["path"], *KEY).code == 0
    assert lumi("sample", "--evidence", report["path"], "-n", 2, "--nonce", "dice", "--out", "drawn", *KEY).code == 0
    [first, _] = sorted((published.directory / "drawn").glob("*.tlog-proof"))
    assert lumi("verify", first, *KEY).code == 0


def test_evidence_needs_a_key_from_elsewhere(published: System, lumi: Lumi) -> None:
    path = json.loads(lumi(*asked(published), "--json").out)["path"]
    shutil.move(published.directory / path, published.directory.parent / "handed-over")
    (published.directory / "keys/log.key").rename(published.directory / "elsewhere.key")
    assert lumi("verify", published.directory.parent / "handed-over").code == 3


def test_an_altered_row_is_found_on_the_command_line(published: System, lumi: Lumi) -> None:
    path = published.directory / json.loads(lumi(*asked(published), "--json").out)["path"] / "events.csv"
    lines = path.read_bytes().split(b"\r\n")
    path.write_bytes(b"\r\n".join([lines[0], *lines[2:]]))
    ran = lumi("verify", path.parent, *KEY, "--json")
    assert (ran.code, ran.json["verdicts"][0]["reason"]) == (1, "row-missing")  # type: ignore[index]


def test_what_is_there_already_is_kept(published: System, lumi: Lumi) -> None:
    assert lumi(*asked(published)).code == 0
    ran = lumi(*asked(published))
    assert (ran.code, "never overwritten" in ran.err) == (1, True)


def test_a_damaged_checkpoint_is_named(published: System, lumi: Lumi) -> None:
    (published.root / "log/checkpoint").write_bytes(b"garbage")
    for command in (asked(published), ("prove", published.event_ids[0]), ("drill",), ("status",)):
        ran = lumi(*command)
        assert (ran.code != 0, "log/checkpoint was altered: " in ran.out + ran.err) == (True, True), command


@pytest.mark.parametrize(
    ("option", "value", "code", "said"),
    [
        ("--tenant", "nobody", 1, "no sealed day"),
        ("--tenant", "../x", 1, "no sealed day"),
        ("--from", "9999-01-01", 2, "before it begins"),
        ("--from", "1999-01-01", 1, "the log begins with"),
        ("--to", "9999-12-31", 1, "the last published day"),
        ("--to", "2026-13-01", 2, "2026-13-01"),
    ],
)
def test_what_cannot_be_given_is_said(  # noqa: PLR0917 - a case
    published: System, lumi: Lumi, option: str, value: str, code: int, said: str
) -> None:
    ran = lumi(*asked(published), option, value)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert not (published.directory / "audit").exists()


def test_what_cannot_be_sampled_is_said_and_leaves_nothing(published: System, lumi: Lumi) -> None:
    assert lumi(*asked(published)).code == 0
    [path] = (published.directory / "audit").iterdir()
    before = sorted(published.directory.iterdir())
    for option, value, code, said in (
        ("-n", "0", 2, "a sample has 1 to 10,000 events, not 0"),
        ("-n", "9" * 30, 2, "a sample has 1 to 10,000 events"),
        ("--nonce", "", 2, "a nonce has 1 to 1,000 characters, and this one 0"),
        ("--nonce", "x" * 1001, 2, "a nonce has 1 to 1,000 characters"),
        ("--nonce", "\udcff", 2, "the nonce is not UTF-8"),
        ("--evidence", "nowhere", 2, ""),
        ("--evidence", "lumi.toml", 2, ""),
        ("--key", "nonsense", 2, "'nonsense' is neither a vkey nor a file"),
        ("--out", "lumi.toml/x", 3, "lumi.toml/x can't be made: "),
    ):
        wanted = {"--evidence": str(path), "--nonce": "dice", "--out": "drawn", "--key": KEY[1]} | {option: value}
        ran = lumi("sample", *(part for pair in wanted.items() for part in pair))
        assert (ran.code, said in ran.err, "Traceback" in ran.err) == (code, True, False), (option, value, ran.err)
        assert sorted(published.directory.iterdir()) == before
