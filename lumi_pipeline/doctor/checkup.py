"""All checks in the order in which they are told, and what runs them: whatever happens in one, all are told."""

import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from lumi_pipeline.doctor.bucket import bucket_check, bucket_checks
from lumi_pipeline.doctor.disk import DISK_CHECKS, SPACE
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, Result, Status, not_tried, problem
from lumi_pipeline.doctor.keys import KEY_CHECKS
from lumi_pipeline.doctor.log import LOG_CHECKS
from lumi_pipeline.doctor.objectlock import lock_check
from lumi_pipeline.doctor.outbox import IDENTITY, OUTBOX
from lumi_pipeline.doctor.postgresql import POSTGRESQL_CHECKS
from lumi_pipeline.doctor.sqlite import SQLITE_CHECKS
from lumi_pipeline.doctor.surroundings import SURROUNDING_CHECKS
from lumi_pipeline.doctor.witnesses import WITNESS_CHECK
from lumi_pipeline.doctor.writing import writing_checks
from lumi_pipeline.errors import LumiError, OutboxLocked

PATIENCE: Final = 20.0
"""Seconds that a check may take. What hangs (a network file system that is gone, say) is left hanging and told."""

_FAILED: Final = frozenset({Status.PROBLEM, Status.SKIPPED})


def checks_of(examination: Examination) -> list[Check]:
    """The checks that this configuration calls for."""
    database = POSTGRESQL_CHECKS if examination.config.outbox.path is None else SQLITE_CHECKS
    checks = [*SURROUNDING_CHECKS, OUTBOX, *database]
    for place in filter(None, (examination.root, examination.locked_root)):
        if place.s3 is None:
            checks += [*writing_checks(place), *DISK_CHECKS]
        else:
            checks += [bucket_check(place), *writing_checks(place), lock_check(place), *bucket_checks(place)]
    return [*checks, SPACE, IDENTITY, *KEY_CHECKS, *LOG_CHECKS, WITNESS_CHECK]


def examine(
    examination: Examination, checks: Sequence[Check] | None = None, patience: float = PATIENCE
) -> Iterator[Result]:
    """Run the checks (by default all there are) one after the other; yield what each finds as soon as it is known."""
    failed: set[str] = set()
    for check in checks_of(examination) if checks is None else checks:
        missing = next((name for name in check.needs if name in failed), None)
        found = [not_tried(f"see {missing}")] if missing else _bounded(check, examination, patience)
        if any(finding.status in _FAILED for finding in found):
            failed.add(check.name)
        yield from (Result(check.name, finding) for finding in found)


def _bounded(check: Check, examination: Examination, patience: float) -> list[Finding]:
    """Carry out a check in a thread of its own, which is abandoned when it takes too long."""
    found: list[Finding] = []
    thread = threading.Thread(target=lambda: found.extend(_tried(check, examination)), daemon=True)
    thread.start()
    thread.join(patience)
    # Extended in one step, when the check is done: either all findings are there or none.
    return list(found) or [problem(f"no answer within {patience:g} s", check.advice)]


def _tried(check: Check, examination: Examination) -> list[Finding]:
    try:
        return list(check.look(examination))
    except OutboxLocked as error:
        return [not_tried(str(error))]
    except LumiError as error:
        return [problem(str(error), check.advice)]
    except Exception as error:  # noqa: BLE001 - one check's mistake must not hide what the others find
        # Only its kind and place: what it says might quote anything.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return [
            problem(
                f"the check itself failed ({type(error).__name__} in {where})",
                "this is a mistake in lumi-pipeline; please report it with this line",
            )
        ]
