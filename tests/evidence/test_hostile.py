"""Bundles that somebody damaged or built to do harm: always a verdict, never an exception, and never a good one."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumi_pipeline.cli.targets import judge
from lumi_pipeline.evidence.bundlefiles import open_bundle
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.verdict import Status
from tests.evidence.corpus.bundle import bundle
from tests.evidence.corpus.case import PINNED, zipped
from tests.evidence.corpus.world import day_of, standard
from transparency.policy import Policy

FILES = bundle(standard(), start=day_of(2), end=day_of(3)).files()
POLICY = Policy.pinning(*PINNED)
EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def folder(path: Path, changed: Mapping[str, bytes]) -> Path:
    for name, data in (FILES | changed).items():
        (path / name).write_bytes(data)
    return path


def archive(path: Path, data: bytes) -> Path:
    target = path / "bundle.zip"
    target.write_bytes(data)
    return target


def reached(path: Path) -> tuple[Status, str]:
    verdict = judge(str(path), POLICY)
    return verdict.status, verdict.reason


def edited(data: st.DataObject, text: bytes) -> bytes:
    """Some bytes taken out, put in or replaced."""
    changed = bytearray(text)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        new = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"[", b"{", b"\\", b"\n", b"=", b"0" * 40]))
        changed[at : at + data.draw(st.integers(0, 3))] = new
    return bytes(changed)


@EXAMPLES
@given(
    name=st.sampled_from(["evidence.json", "events.csv", "SHA256SUMS", "SHA256SUMS.sig", "log.vkey"]), data=st.data()
)
def test_no_edit_of_a_file_verifies(tmp_path: Path, name: str, data: st.DataObject) -> None:
    changed = edited(data, FILES[name])
    status, _ = reached(folder(tmp_path, {name: changed}))
    assert (status is Status.VERIFIED) == (changed == FILES[name])
    assert status is not Status.INCOMPLETE


@EXAMPLES
@given(method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), data=st.data())
def test_no_edit_of_a_zip_file_is_worse_than_a_verdict(tmp_path: Path, method: int, data: st.DataObject) -> None:
    changed = edited(data, zipped(FILES, method))
    assert judge_bundle(archive(tmp_path, changed), POLICY).status in {
        Status.VERIFIED,  # a date, say, was changed
        Status.FAILED,
        Status.UNRECOGNISED,
    }


@EXAMPLES
@given(data=st.data())
def test_no_number_in_a_zip_file_leads_astray(tmp_path: Path, data: st.DataObject) -> None:
    """Its lists and headers are full of sizes and places: put others in their stead."""
    changed = bytearray(zipped(FILES))
    first = changed.index(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(first, len(changed) - 4) | st.integers(0, 30))
        value = data.draw(
            st.sampled_from([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE]) | st.integers(0, 2**32 - 1)
        )
        changed[at : at + 4] = struct.pack("<I", value)
    verdict = judge_bundle(archive(tmp_path, bytes(changed)), POLICY)
    assert verdict.status in {Status.VERIFIED, Status.FAILED, Status.UNRECOGNISED}


def test_more_within_a_zip_file_than_it_lists_is_found(tmp_path: Path) -> None:
    """Deflated bytes that unpack to more than the size that stands there: some programs would show the rest."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in FILES.items():
            made.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    whole = FILES["events.csv"]
    data = output.getvalue().replace(struct.pack("<I", len(whole)), struct.pack("<I", len(whole) - 100))
    crc, shorter = struct.pack("<I", zlib.crc32(whole)), struct.pack("<I", zlib.crc32(whole[:-100]))
    assert reached(archive(tmp_path, data.replace(crc, shorter))) == (Status.FAILED, "bundle-format")


def test_a_zip_file_with_a_list_without_end_is_not_read_whole(tmp_path: Path) -> None:
    entry = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    listed = entry * 100_000
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(listed), 0, 0)
    assert reached(archive(tmp_path, listed + end)) == (Status.FAILED, "bundle-format")


def test_a_large_zip_file_is_read_in_large_pieces(tmp_path: Path) -> None:
    data = os.urandom(9 << 20)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path, zipped(FILES | {"events.csv": data}, method))
        with open_bundle(path) as opened, opened.open("events.csv") as file:
            assert file.read(8 << 20) + file.read(8 << 20) == data


def test_files_that_share_bytes_are_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(FILES, zipfile.ZIP_STORED))
    places = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[places[1] + 42 : places[1] + 46] = data[places[0] + 42 : places[0] + 46]
    assert reached(archive(tmp_path, bytes(data))) == (Status.FAILED, "bundle-format")


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = folder(tmp_path, {})
    target = path / "README.txt"
    target.unlink()
    if kind == "link":
        target.symlink_to("/etc/hostname")
    elif kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    assert reached(path) == (Status.FAILED, "bundle-format")


def test_a_path_that_is_no_bundle(tmp_path: Path) -> None:
    assert reached(tmp_path / "nothing") == (Status.UNRECOGNISED, "missing")
    assert reached(tmp_path / "events.csv") == (Status.UNRECOGNISED, "missing")
    os.mkfifo(tmp_path / "pipe")
    assert judge_bundle(tmp_path / "pipe", POLICY).reason == "unrecognised"
    assert reached(tmp_path) == (Status.UNRECOGNISED, "unrecognised")


def test_either_main_file_stands_for_its_folder(tmp_path: Path) -> None:
    path = folder(tmp_path, {"a program's lock.tmp": b""})
    for name in ("events.csv", "evidence.json"):
        verdict = judge(str(path / name), POLICY)
        assert (verdict.status, verdict.reason) == (Status.VERIFIED, "ok")
        assert any("a program's lock.tmp" in line for line in verdict.lines)
