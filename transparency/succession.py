"""A log that succeeds another: checking the earlier one against what the later one's genesis says of it.

After the theft of a key nothing that this key signs proves anything any more. So the later log pins the earlier one by
itself: its genesis names a size and a root, and whoever trusts the later log's key can check every entry below that
root, whatever the earlier log's key has signed since, or in whose name.
"""

from collections.abc import Callable
from datetime import timedelta

from transparency.entries import Genesis
from transparency.errors import VerificationError
from transparency.history import History, read_history
from transparency.tiles import TileReader


def verify_previous(
    genesis: Genesis, fetch: Callable[[str], bytes], progress: Callable[[int], None] | None = None
) -> History:
    """Check the log that a verified ``genesis`` succeeds, up to the size that it names; return what it says.

    ``fetch`` returns that log's files, as :func:`transparency.verify.verify_log` takes them; its checkpoint is not
    looked at. Raises VerificationError: ``previous`` when the genesis succeeds no log, or not on the day after the last
    record, and the reasons of :func:`~transparency.history.read_history`.
    """
    previous = genesis.previous
    if previous is None:
        raise VerificationError("previous", f"the log {genesis.origin} says of no log that it succeeds it")
    history = read_history(TileReader(fetch, previous.size, previous.root), previous.origin, progress)
    if history.last is None or genesis.first_day != history.last.day + timedelta(days=1):
        last = "no record at all" if history.last is None else f"the record of {history.last.day} last"
        raise VerificationError(
            "previous",
            f"the log {genesis.origin} begins on {genesis.first_day}, and {previous.origin} has {last} among its first "
            f"{previous.size} entries",
        )
    return history
