"""A statement says of which rows it could know, and calls no period complete of which more of them may come."""

import json
from pathlib import Path

from lumi_pipeline.cli.siemshow import stated
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.checking import verify_receipts
from lumi_pipeline.siem.exports import Exports
from tests.lake.world import EVIDENCE_KEY, World, at, day
from transparency.encoding import format_timestamp

FIRST, BOTH, NOBODYS = Period(day(0), day(0)), Period(day(0), day(1)), Period(day(0), day(0), "initech")


def told(exports: Exports, period: Period) -> tuple[bool, bool, bool, object]:
    """Whether nothing is lacking, what is complete and sealed, and through when was landed, as it is signed."""
    statement = exports.statement("files", period)
    line = json.loads(statement.line())
    verdict = verify_receipts(statement.signed([EVIDENCE_KEY]), [EVIDENCE_KEY.verifier], "statement")
    assert (line["complete"], line["sealed"]) == (statement.is_complete, verdict.facts["sealed"])
    assert ("more rows may come" in stated(statement)) == (not line["sealed"])
    assert any("more rows could come" in said for said in verdict.lines) == (not line["sealed"])
    return statement.lacks_nothing, line["complete"], line["sealed"], line["landed_through"]


def test_only_days_that_are_sealed_are_complete(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(0, "13:00:00"))
    world.send_to({"name": "files", "kind": "file", "path": str(tmp_path / "files"), "since": "beginning"})
    assert told(Exports(world.pipeline()), FIRST) == (True, False, False, None)
    world.record("acme", at(0))
    world.record("globex", at(0, "11:00:00"))
    world.pipeline().land()
    exports = Exports(world.pipeline())
    list(exports.plan("files"))
    exports.deliver("files")
    # All that was landed is there, but the day is not over.
    assert told(exports, FIRST) == (True, False, False, format_timestamp(at(0)))
    # More of it came, and nobody has landed it: that can't be known here, and nothing else is claimed.
    world.record("acme", at(0, "23:59:00"))
    world.clock.now = at(1, "01:00:00")
    assert told(Exports(world.pipeline()), FIRST) == (True, False, False, format_timestamp(at(0)))

    world.pipeline().run()
    exports = Exports(world.pipeline())
    # A sealed day is closed, so landings reach through all of it.
    late = format_timestamp(at(1, "00:00:00"))
    assert told(exports, FIRST) == (False, False, True, late)
    list(exports.plan("files"))
    exports.deliver("files")
    assert told(exports, FIRST) == (True, True, True, late)
    # Which tenants there are is not known either before the day is sealed.
    assert told(exports, NOBODYS) == (True, True, True, late)
    assert told(exports, BOTH)[:3] == (True, False, False)
