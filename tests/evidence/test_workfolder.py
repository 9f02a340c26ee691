"""Killed, overtaken and raced: whatever a run of ``lumi evidence`` leaves under a bundle's name is whole."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.workfolder import put_in_place, working_folder
from lumi_pipeline.evidence.writer import BundleReport, write_bundle
from tests.lake.world import World, at, day

Seen = Callable[[str], None]
_watcher: list[Seen] = []
_CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir"})


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook stays for ever; without a watcher it does nothing."""
    if _watcher and (event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & 3)):
        _watcher[-1](event)


sys.addaudithook(_hook)


@contextmanager
def watching(seen: Seen) -> Iterator[None]:
    """Call ``seen`` just before every change of a directory, and before every file that is opened to be written."""

    def once(event: str) -> None:
        _watcher.clear()
        seen(event)
        _watcher.append(once)

    _watcher.append(once)
    try:
        yield
    finally:
        _watcher.clear()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World.create(tmp_path_factory.mktemp("workfolder") / "world", at(2, "08:00:00"))
    made.record("acme", at(0), at(1))
    made.pipeline().run()
    return made


def write(world: World, out: Path, *, zipped: bool) -> BundleReport:
    asked = Asked("acme", day(0), day(1))
    return write_bundle(world.pipeline(), asked, out, lambda path: judge_bundle(path, world.policy), zipped=zipped)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_kill_at_any_step_leaves_a_whole_bundle_or_none(world: World, tmp_path: Path, zipped: bool) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    kept.mkdir()

    def keep(_: str) -> None:
        # What has been handed to the operating system by now is what kill -9 leaves.
        if out.is_dir():
            shutil.copytree(out, kept / str(len(list(kept.iterdir()))))

    with watching(keep):
        write(world, out, zipped=zipped)
    moments = sorted(kept.iterdir(), key=lambda path: int(path.name))
    assert len(moments) > 8
    named = 0
    for moment in moments:
        for path in moment.iterdir():
            if not path.name.startswith("."):
                named += 1
                assert judge_bundle(path, world.policy).reason == "ok", moment.name
    assert named < len(moments)  # most moments are before it has its name
    for moment in moments[:: max(1, len(moments) // 3)]:
        if all(path.name.startswith(".") for path in moment.iterdir()):
            report = write(world, moment, zipped=zipped)
            assert list(moment.iterdir()) == [report.path]


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with working_folder(target, "bundle") as folder:
        (folder / "events.csv").write_bytes(b"first")
        with pytest.raises(EvidenceError, match="another run"), working_folder(target, "bundle"):
            pass
        assert (folder / "events.csv").read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == []
    with working_folder(target, "bundle"):
        pass


def test_a_name_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.symlink_to("nowhere")
    with pytest.raises(EvidenceError, match="never overwritten"), working_folder(target, "bundle"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_whatever_lies_in_the_folder_is_cleared_and_links_are_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"kept")
    left = tmp_path / ".bundle.new"
    (left / "deep/er").mkdir(parents=True)
    (left / "link").symlink_to(precious, target_is_directory=True)
    with working_folder(tmp_path / "bundle", "bundle") as folder:
        assert list(folder.iterdir()) == []
    left.symlink_to(precious, target_is_directory=True)
    with pytest.raises(EvidenceError, match="can't be made"), working_folder(tmp_path / "bundle", "bundle"):
        pass
    assert (precious / "file").read_bytes() == b"kept"


def test_a_folder_that_another_run_made_since_is_left_alone(tmp_path: Path) -> None:
    with working_folder(tmp_path / "bundle", "bundle") as folder:
        put_in_place(folder, tmp_path / "bundle")
        folder.mkdir()
        (folder / "events.csv").write_bytes(b"another's")
    assert (folder / "events.csv").read_bytes() == b"another's"


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    target = tmp_path / "bundle"
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, target.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with working_folder(target, "bundle") as folder:
        (folder / "events.csv").write_bytes(b"rows")
        put_in_place(folder, target)
    assert synced == [("events.csv", False), (".bundle.new", False), (tmp_path.name, True)]
    assert (target / "events.csv").read_bytes() == b"rows"
