"""What became of the messages of one request to Kafka, and what that means for the request.

Numbers are those of the Kafka protocol guide, "Error codes"; negative ones are librdkafka's own (rdkafka.h). A message
that timed out or whose connection broke may have been written ("possibly persisted"), so only an answer of the broker,
or a refusal before anything left, says that it is not there.

That it is there is said by an offset, and by nothing else. librdkafka also reports success where no answer did: when a
request was refused, or got no answer, and a later one to the same partition was taken, it concludes that the first was
taken too, as a broker writes a producer's messages in order ("implicit acknowledgement", without an offset). A broker
that does not know the producer yet does not keep to that: it writes what comes first, under any sequence number
(Apache Kafka, ProducerAppendInfo.checkSequence), and what it refused just before, for want of replicas say, is nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from lumi_pipeline.siem.destination import Assurance, Outcome, Result

TOO_LARGE: Final = 10
_REFUSED: Final = {
    2: "it arrives damaged",
    TOO_LARGE: "it is larger than the topic allows (max.message.bytes)",
    18: "it is larger than a segment of the topic",
    32: "its timestamp is refused",
    44: "a policy of the cluster refuses it",
    87: "the broker's validation refuses it",
}
BARRED: Final = {
    3: "there is no such topic, or the credentials must not know of it; create it, or grant Describe and Write",
    17: "the topic's name is not valid",
    29: "the credentials must not write to the topic; grant Describe and Write on it",
    31: "the credentials must not write idempotently; grant IdempotentWrite on the cluster",
    35: "the cluster is too old for idempotent writing; it needs Kafka 0.11 or newer",
    43: "the topic's message format is too old for idempotent writing",
    76: "the cluster does not know zstd; it needs Kafka 2.1 or newer",
    -188: "there is no such topic; create it",
    -190: "the topic has no partitions",
}
"""What somebody has to correct, and how."""

_OTHERS_FAULT: Final = -138
"""Another message in the same request was refused (_INVALID_DIFFERENT_RECORD)."""


class Fate(Enum):
    """What is known of a message: it is there, may be, or is not there, for a reason of its own or another's."""

    STORED = "stored"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    BARRED = "barred"
    NOT_SENT = "not sent"


@dataclass(frozen=True, slots=True)
class Report:
    """One message's delivery report. ``code`` is 0 for success; ``offset`` is -1 if nobody told where it is."""

    code: int
    partition: int = -1
    offset: int = -1

    @property
    def fate(self) -> Fate:
        """What the report says."""
        if self.code == 0:
            return Fate.STORED if self.offset >= 0 else Fate.UNKNOWN
        if self.code in _REFUSED:
            return Fate.REFUSED
        if self.code in BARRED:
            return Fate.BARRED
        return Fate.NOT_SENT if self.code == _OTHERS_FAULT else Fate.UNKNOWN


NOT_SENT: Final = Report(_OTHERS_FAULT)
"""Of a message that is certainly not there, and is not to blame for it."""


def judge(reports: Sequence[Report], topic: str, *, ambiguous: bool) -> Outcome:
    """Say what came of a request, of one report for each of its events.

    ``ambiguous``: it was said of this batch before that its events may be there twice; so events that are there
    behind a refused one are no news, and it can be told from the others.
    """
    fates = [report.fate for report in reports]
    stored = fates.count(Fate.STORED)
    if stored == len(reports):
        return Outcome(Result.DELIVERED, f"{topic} has it", Assurance.STORED, facts=_facts(topic, reports))
    refused = fates.index(Fate.REFUSED) if Fate.REFUSED in fates else None
    if not stored and Fate.UNKNOWN not in fates:
        if Fate.BARRED in fates:
            return Outcome(Result.BLOCKED, f"{topic}: {BARRED[reports[fates.index(Fate.BARRED)].code]}")
        if refused is None:
            return Outcome(Result.RETRY, f"{topic}: nothing was sent")
        return Outcome(Result.REFUSED, f"{topic}: {_REFUSED[reports[refused].code]}", index=refused)
    if refused is not None and Fate.UNKNOWN not in fates:
        before, after = set(fates[:refused]), fates[refused + 1 :]
        if before <= {Fate.STORED} and (ambiguous or Fate.STORED not in after):
            detail = f"{topic}: {_REFUSED[reports[refused].code]}"
            facts = _facts(topic, reports[:refused])
            return Outcome(Result.PARTIAL, detail, Assurance.STORED, index=refused, facts=facts)
    codes = sorted({report.code for report in reports if report.fate is not Fate.STORED})
    return Outcome(
        Result.AMBIGUOUS,
        f"{topic}: {stored} of {len(reports)} events are there, {fates.count(Fate.UNKNOWN)} may be; Kafka's codes"
        f" {', '.join('0 without an offset' if code == 0 else str(code) for code in codes)}",
    )


def _facts(topic: str, reports: Sequence[Report]) -> dict[str, str]:
    """First and last offset of each partition, and how many where others wrote in between: ``0: 5-7, 1: 9-19 (4)``."""
    partitions: dict[int, list[int]] = {}
    for report in reports:
        partitions.setdefault(report.partition, []).append(report.offset)
    written = ", ".join(f"{partition}: {_range(offsets)}" for partition, offsets in sorted(partitions.items()))
    return {"topic": topic, "offsets": written}


def _range(offsets: Sequence[int]) -> str:
    first, last = min(offsets), max(offsets)
    return f"{first}-{last}" + ("" if last - first + 1 == len(offsets) else f" ({len(offsets)})")


class Kept:
    """Which events of ambiguous batches are known to be there, so that another try leaves them out.

    Only in memory: after a restart they are sent again, as is said of an ambiguous batch.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self._most = most
        self._reports: dict[tuple[str, str], Report] = {}

    def of(self, batch_id: str, events: Sequence[str]) -> dict[int, Report]:
        """Return what is known of a batch's events, by index."""
        if not self._reports:
            return {}
        found = ((i, self._reports.get((batch_id, event))) for i, event in enumerate(events))
        return {i: report for i, report in found if report is not None}

    def keep(self, batch_id: str, events: Sequence[str], reports: Mapping[int, Report]) -> None:
        """Remember those that are stored."""
        if len(self._reports) + len(reports) > self._most:
            self._reports.clear()
        stored = {(batch_id, events[i]): report for i, report in reports.items() if report.fate is Fate.STORED}
        self._reports.update(stored)

    def drop(self, batch_id: str, events: Sequence[str]) -> None:
        """Forget events that are settled."""
        for event in events:
            self._reports.pop((batch_id, event), None)
