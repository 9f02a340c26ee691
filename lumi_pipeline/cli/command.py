"""What every ``lumi`` command has in common: examples in its help, and how its failures end.

Exit codes: 0 success, 1 failure, 2 usage. Verifying commands use 1 for "recognised and not verifying" alone, so
whatever keeps them from an answer ends with 3.
"""

import traceback
from enum import IntEnum

import click

from lumi_pipeline.errors import ConfigError, LumiError, QuestionError


class ExitCode(IntEnum):
    """Exit status of ``lumi``; for a verifying command, success means verified and failure not verifying."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Stop(click.ClickException):
    """Ends the command with a message and an exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


class Command(click.Command):
    """A command whose errors become one message; only a mistake of ours shows where it happened."""

    failure_code = ExitCode.FAILURE

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; whatever goes wrong ends it with a message and the code of failure."""
        try:
            return super().invoke(ctx)
        except (ConfigError, QuestionError) as error:
            raise Stop(str(error), ExitCode.USAGE) from None
        except LumiError as error:
            raise Stop(str(error), self.failure_code) from None
        except BrokenPipeError:
            # Said here, because click would end with 1, which is a verdict.
            raise Stop("", ExitCode.BROKEN_PIPE) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Stop(f"{where}{error.strerror or error}", self.failure_code) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 - Python's own exit code 1 would be a verdict
            traceback.print_exc()
            message = "this is a mistake in lumi-pipeline itself; please report it with the lines above"
            raise Stop(message, self.failure_code) from None


class VerifyingCommand(Command):
    """A command whose exit code is a verdict; not being able to reach one is never a failed verification."""

    failure_code = ExitCode.INCOMPLETE


def examples(*lines: str) -> str:
    """Return the end of a help text: command lines that a reader can use, kept as they are (``\\b``, for click)."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
