"""What one run of the pipeline did."""

from dataclasses import dataclass

from lumi_pipeline.landing import LandingReport
from lumi_pipeline.publishing import PublishReport
from lumi_pipeline.sealing import SealReport


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run did: what it landed, the days it sealed, what it published."""

    landing: LandingReport
    seals: tuple[SealReport, ...]
    publication: PublishReport | None
    seconds: float
