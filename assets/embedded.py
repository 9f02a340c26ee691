"""Running a job in this process, with Dagster's records kept like those of any other run, and quiet about it."""

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.instance import InstanceRef  # the one way to an instance with a setting of its own
from dagster_shared.error import SerializableErrorInfo

from assets.definitions import defs
from assets.failures import described
from assets.postgresql import plain_outages, starting
from lumi_pipeline.cli.output import note, say

HOME: Final = Path("data/local/dagster")
"""Where Dagster keeps its records without DAGSTER_HOME; ``dagster.yaml`` says the same."""

# A run's prints go to this process's terminal as they are; copying them to files would take two more processes.
_OVERRIDES: Final = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: how many checks passed, and what went wrong, each with a message of its own."""

    passed: int
    findings: tuple[str, ...]
    failures: tuple[str, ...]


def run_job(job_name: str, config_file: Path | None, tags: Mapping[str, str]) -> Outcome:
    """Run a job here and now, printing what its steps have to say; what fails in a step is in the outcome.

    Raises KeyboardInterrupt when that is what ended the run; Dagster would take it for just another failure. Raises
    DagsterUnavailable when the run ended, or never began, because Dagster's records can't be written.
    """
    job = defs.resolve_job_def(job_name).with_logger_defs({"lines": _lines})
    run_config: dict[str, object] = {"loggers": {"lines": {}}}
    if config_file is not None:
        run_config["resources"] = {"pipeline": {"config": {"config_file": str(config_file.absolute())}}}
    # An interruption may meet a connection that is being closed; it is told once, as the end of the run.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    with plain_outages(), embedded_instance() as instance:
        result = job.execute_in_process(run_config, instance, raise_on_error=False, tags=tags)
    if any(event.is_job_failure and _interrupted(event) for event in result.all_events):
        raise KeyboardInterrupt
    return _outcome(result)


@contextmanager
def embedded_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of ``DAGSTER_HOME``, else the one that ``dagster.yaml`` describes.

    That file is looked for in the current directory, as Dagster itself does, then beside this module.
    """
    home = os.environ.get("DAGSTER_HOME")
    base = Path(home) if home else HOME
    settings = next((path for path in (base, Path()) if (path / "dagster.yaml").exists()), Path(__file__).parent)
    base.mkdir(parents=True, exist_ok=True)
    # Two processes that create the same tables get in each other's way. The lock ends with the process.
    with (base / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ref = InstanceRef.from_dir(str(base), config_dir=str(settings), overrides=_OVERRIDES)
        with starting(ref):
            instance = dg.DagsterInstance.from_ref(ref)
    with instance:
        yield instance


class _Lines(logging.Handler):
    """Prints what steps log themselves; of Dagster's own events only that a step is tried again.

    Errors are left out, as they are Dagster's: what failed, and why, is in the outcome.
    """

    def emit(self, record: logging.LogRecord) -> None:
        about = record.__dict__["dagster_meta"]
        event: dg.DagsterEvent | None = about["dagster_event"]
        if event is None and logging.INFO <= record.levelno <= logging.WARNING:
            (note if record.levelno == logging.WARNING else say)(about["orig_message"])
        elif event and event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
            note(f"{event.step_key} is tried again in a moment: {_message(event.step_retry_data.error)}")


@dg.logger
def _lines(context: dg.InitLoggerContext) -> logging.Logger:  # noqa: ARG001 - Dagster calls it so
    logger = logging.Logger("lumi-pipeline", logging.DEBUG)  # noqa: LOG001 - of this run alone, under nobody's settings
    logger.addHandler(_Lines())
    return logger


def _outcome(result: dg.ExecuteInProcessResult) -> Outcome:
    evaluations = result.get_asset_check_evaluations()
    findings = tuple(
        f"{found.asset_key.to_user_string()}: {found.check_name}: {found.description or 'did not pass'}"
        for found in evaluations
        if not found.passed
    )
    failures = [_failure(event) for event in result.all_events if event.is_step_failure]
    if not result.success and not failures:
        failures = [event.message or "" for event in result.all_events if event.is_failure]
    return Outcome(len(evaluations) - len(findings), findings, tuple(failures))


def _interrupted(event: dg.DagsterEvent) -> bool:
    return event.job_failure_data.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION


def _failure(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    text = described(event)
    if text is None and error is not None:
        # A check that blocks says what it found. Anything else is a mistake of ours, and where it happened matters.
        text = "a check did not pass" if error.cls_name == "DagsterAssetCheckFailedError" else error.to_string()
    return text or "unknown"


def _message(error: SerializableErrorInfo | None) -> str:
    return error.cause.message.partition(": ")[2].strip() if error and error.cause else ""
