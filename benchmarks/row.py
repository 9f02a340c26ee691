"""One row of the table: what was done, against what, how long both took, and how much memory if that was measured."""

from dataclasses import dataclass

from benchmarks.measuring import Speedup, Timing


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak resident memory in bytes, the median over the runs."""

    mine: int
    plain: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``amount`` of ``unit`` were done per run. Without ``against`` there is nothing comparable, only our own time."""

    name: str
    what: str
    against: str | None
    amount: int
    unit: str
    mine: Timing
    plain: Timing | None
    memory: Memory | None = None

    @property
    def speedup(self) -> Speedup | None:
        return Speedup.of(self.mine, self.plain) if self.plain else None

    def to_json(self) -> dict[str, object]:
        speedup = self.speedup
        return {
            "name": self.name,
            "what": self.what,
            "against": self.against,
            "amount": self.amount,
            "unit": self.unit,
            "seconds": list(self.mine.seconds),
            "against_seconds": list(self.plain.seconds) if self.plain else None,
            "speedup": {"median": speedup.median, "least": speedup.least, "most": speedup.most} if speedup else None,
            "peak_bytes": self.memory.mine if self.memory else None,
            "against_peak_bytes": self.memory.plain if self.memory else None,
        }
