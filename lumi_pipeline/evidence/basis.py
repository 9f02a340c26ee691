"""What is fixed before a bundle is made, so that whoever makes it, and however often, makes the same bytes."""

import secrets
from dataclasses import dataclass
from datetime import date
from typing import Self

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.readme import Run
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.rotation import Role
from transparency.checkpoint import SignedCheckpoint
from transparency.entries import Genesis, day_at
from transparency.keys import VerifierKey
from transparency.logview import LogView


@dataclass(frozen=True, slots=True)
class Basis:
    """The log that proves the rows, as it is at one moment, and the run that makes the bundle. No secret is in it."""

    genesis: Genesis
    checkpoint: SignedCheckpoint
    log_key: VerifierKey
    run: Run

    @classmethod
    def of(cls, pipeline: Pipeline, run: Run | None = None) -> Self:
        """What there is to prove with now, for a new run unless one is given.

        Raises :class:`~lumi_pipeline.errors.EvidenceError` when nothing is published.
        """
        genesis = pipeline.genesis()
        if genesis is None:
            raise EvidenceError("nothing is sealed yet; 'lumi run' seals and publishes every complete day")
        published = LogView(pipeline.lake.store).published()
        if published is None:
            raise EvidenceError("the log is not published yet; 'lumi publish' publishes it")
        log_key = pipeline.keyring.files[Role.LOG].current().verifier
        return cls(genesis, published, log_key, run or Run(secrets.token_hex(8), pipeline.clock()))

    @property
    def last_day(self) -> date:
        """The last published day."""
        return day_at(self.genesis.first_day, self.checkpoint.checkpoint.size - 1)
