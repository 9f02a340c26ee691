"""Local files as a destination."""

import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.destination import Assurance, Result
from tests.siem.batches import event, opened, outgoing, records, table, unpacked


def test_a_batch_is_a_file(tmp_path: Path) -> None:
    destination = opened("file", tmp_path, path="out")
    parts = records(destination, table(event(0), event(1)))
    sent = outgoing(destination, parts)
    outcome = destination.send(sent)
    key = f"2026-03-02/{sent.delivery_id}.ndjson.gz"
    assert (outcome.result, outcome.assurance, dict(outcome.facts)) == (
        Result.DELIVERED,
        Assurance.STORED,
        {"file": key},
    )
    content = (tmp_path / "out" / key).read_bytes()
    assert content == sent.body
    assert [json.loads(line)["seq"] for line in unpacked(content).splitlines()] == [0, 1]
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [f"{sent.delivery_id}.ndjson.gz"]


def test_the_same_again_is_fine_and_other_content_is_not(tmp_path: Path) -> None:
    destination = opened("file", tmp_path, path="out")
    sent = outgoing(destination, [b"{}"])
    assert [destination.send(sent).result for _ in range(2)] == [Result.DELIVERED] * 2
    outcome = destination.send(replace(sent, body=destination.body(b'{"other": 1}\n')))
    assert (outcome.result, "there already, with other content" in outcome.detail) == (Result.BLOCKED, True)
    (file,) = (tmp_path / "out").glob("*/*.gz")
    assert file.read_bytes() == sent.body


def test_several_writers_of_one_file(tmp_path: Path) -> None:
    destination = opened("file", tmp_path, path="out")
    sent = outgoing(destination, [b"{}"] * 1000)
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.append(destination.send(sent).result)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [Result.DELIVERED] * 8


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (errno.ENOSPC, Result.RETRY),
        (errno.EDQUOT, Result.RETRY),
        (errno.EIO, Result.RETRY),
        (errno.EROFS, Result.BLOCKED),
        (errno.EACCES, Result.BLOCKED),
    ],
)
def test_what_the_disk_refuses(code: int, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = opened("file", tmp_path, path="out")
    sent = outgoing(destination, [b"{}"])

    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        outcome = destination.send(sent)
        assert (outcome.result, os.strerror(code) in outcome.detail) == (result, True)
        with pytest.raises(SiemError, match="correct 'path'"):
            destination.check()
    assert not list((tmp_path / "out").glob("*/*.gz"))
    assert destination.send(sent).result is Result.DELIVERED


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    destination = opened("file", tmp_path, path="out")
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.BLOCKED
    with pytest.raises(SiemError, match="soc: can't write files in"):
        destination.check()


def test_routes_have_directories_of_their_own(tmp_path: Path) -> None:
    route = {"name": "acme", "tenants": ["acme"], "path": "acme"}
    destination = opened("file", tmp_path, path="others", routes=[route])
    acme, default = destination.settings.routes
    destination.send(outgoing(destination, [b"{}"], acme, 1))
    destination.send(outgoing(destination, [b"{}"], default, 2))
    assert [len(list((tmp_path / name).glob("2026-03-02/*.gz"))) for name in ("acme", "others")] == [1, 1]


def test_check_leaves_nothing(tmp_path: Path) -> None:
    destination = opened("file", tmp_path, path="out")
    assert destination.check() == [f"{tmp_path / 'out'} can be written to"]
    assert not list((tmp_path / "out").iterdir())
    destination.close()
