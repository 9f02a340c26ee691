"""``lumi report``: where the page goes, what is said of it, and what is refused."""

from pathlib import Path

import pytest

from tests.cli.system import Lumi, System


@pytest.fixture
def built(published: System, lumi: Lumi) -> System:
    assert lumi("analyst", "build").code == 0
    return published


def test_it_writes_a_page(built: System, lumi: Lumi) -> None:
    ran = lumi("report")
    assert ran.code == 0
    assert ran.out.startswith("Wrote report.html (")
    assert ran.out.endswith(f": 60 events of 3 tenants, {built.days[0]} to {built.days[1]}.\n")
    page = Path("report.html").read_text(encoding="utf-8")
    assert f"{built.days[0].day} " in page
    assert "\x1b" not in page

    said = lumi("report", "--tenant", "acme", "--from", built.days[1], "-o", "acme.html", "--json").json
    assert said["destinations"] == {}
    assert (said["events"], said["tenants"], said["from"], said["to"]) == (
        10,
        1,
        str(built.days[1]),
        str(built.days[1]),
    )
    assert said["bytes"] == Path("acme.html").stat().st_size
    assert "globex" not in Path("acme.html").read_text(encoding="utf-8")

    piped = lumi("report", "-o", "-")
    assert piped.out.startswith("<!doctype html>")
    assert piped.out.endswith("</html>\n")


def test_what_it_refuses(published: System, lumi: Lumi) -> None:
    Path("analyst.duckdb").unlink(missing_ok=True)
    assert "'lumi analyst build' makes it" in lumi("report").err
    assert lumi("analyst", "build").code == 0
    backwards = lumi("report", "--from", published.days[1], "--to", published.days[0])
    assert (backwards.code, "before it begins" in backwards.err) == (2, True)
    assert "has no event of a tenant" in lumi("report", "--tenant", "nobody").err
    assert lumi("report", "--from", "yesterday").code == 2
    both = lumi("report", "-o", "-", "--json")
    assert (both.code, both.out, "can't both go to stdout" in both.err) == (2, "", True)
    assert not Path("report.html").exists()
    assert "No such file or directory" in lumi("report", "-o", "no/such/directory/report.html").err
