"""Bundles of many tenants side by side: each is two units of work for :mod:`lumi_pipeline.compute`.

The first unit writes everything but the signature and leaves it in the lake as a draft; its result is the checksums.
They are signed here, in the process that has the key. The second unit adds the signature, verifies the whole bundle as
an auditor would, and creates it under its key. So no key, and nothing that could sign anything else, is in a unit or a
result, and no worker has one (docs/adr/0003-evidence-keys.md).

Both may run twice: what is written follows from the unit alone, and what is evidence is created and never replaced.
What is wrong with one tenant is the result of its unit, as it keeps no other waiting; any other error ends it all.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from lumi_pipeline.compute import Compute
from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.errors import ConcurrentRun, EvidenceError, LumiError
from lumi_pipeline.evidence.basis import Basis
from lumi_pipeline.evidence.bundlefiles import SIGNATURE, UNSIGNED
from lumi_pipeline.evidence.drafts import clear_drafts, draft_key
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.readme import Run
from lumi_pipeline.evidence.signing import sign_sums
from lumi_pipeline.evidence.stored import BundleStore, StoredBundle, scratch
from lumi_pipeline.evidence.superseding import PREFIX, current_keys
from lumi_pipeline.evidence.writer import UnsignedBundle, check_made, fixed_files
from lumi_pipeline.evidence.zipping import write_zip
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.stores.roots import LakeAddress
from lumi_pipeline.verdict import Verdict
from transparency.errors import ObjectMissing
from transparency.keys import SigningKey
from transparency.policy import Policy

Outcome: TypeAlias = StoredBundle | LumiError
"""A tenant's bundle, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class DraftUnit:
    """A bundle that is to be written but for its signature, in which lake, on what basis, and where it goes."""

    address: LakeAddress
    asked: Asked
    basis: Basis
    draft: str

    def __str__(self) -> str:
        return f"the draft of {self.asked.name}"


@dataclass(frozen=True, slots=True)
class SignedDraft:
    """A draft, its signature, and how far erasures had come before it was begun."""

    draft: str
    signature: bytes
    erasures: int


@dataclass(frozen=True, slots=True)
class BundleUnit:
    """A bundle that is to be completed from its draft, or, without one, is stored already and is to be verified."""

    address: LakeAddress
    asked: Asked
    key: str
    trust: Policy | None
    signed: SignedDraft | None = None

    def __str__(self) -> str:
        return self.asked.name


def write_draft(unit: DraftUnit) -> Mapping[str, str] | LumiError:
    """Write the draft; return the SHA-256 of each of its files."""
    try:
        lake = unit.address.open(_now)
        unsigned = UnsignedBundle(lake, unit.basis, unit.asked)
        with scratch() as directory:
            path = directory / "draft.zip"
            folder = directory / unit.asked.name
            folder.mkdir()
            written = unsigned.write(folder)
            write_zip(folder, UNSIGNED, path)
            # A crash after this leaves a draft that nobody was told of; whoever does it again writes the same.
            lake.store.put(unit.draft, path.read_bytes())
            return written.digests
    except LumiError as error:
        return error


def complete_bundle(unit: BundleUnit) -> Outcome:
    """Complete, verify and store the bundle, or verify the one that is stored."""
    try:
        lake = unit.address.open(_now)
        bundles = BundleStore(lake, unit.trust)
        if unit.signed is None:
            return bundles.verified(unit.asked, unit.key)
        try:
            data = lake.store.get(unit.signed.draft)
        except ObjectMissing:
            raise ConcurrentRun(f"{unit.signed.draft} was removed meanwhile; make the evidence again") from None
        with scratch() as directory:
            made = directory / f"{unit.asked.name}.zip"
            made.write_bytes(data)
            del data
            (directory / SIGNATURE).write_bytes(unit.signed.signature)
            write_zip(directory, (SIGNATURE,), made)
            verdict = bundles.judge(made, unit.key)
            check_made(verdict)
            return bundles.keep(unit.asked, unit.key, made, verdict, unit.signed.erasures)
    except LumiError as error:
        return error


def judge_stored(unit: BundleUnit) -> Verdict:
    """The verdict on the bundle that is stored."""
    return BundleStore(unit.address.open(_now), unit.trust).judged(unit.asked, unit.key)


class BundlesApart:
    """Makes and judges bundles in units of work, wherever ``compute`` has them done."""

    def __init__(self, compute: Compute, pipeline: Pipeline) -> None:
        self._compute = compute
        self._pipeline = pipeline
        self._address = LakeAddress.of(pipeline.config)

    def make(self, every: Sequence[Asked], run: Run | None) -> Mapping[Asked, Outcome]:
        """Make the bundles that are asked for, and verify those that are there; by what was asked for, in its order.

        ``run`` is who makes them, a new run unless it is given. Raises what a unit raises that is no error of ours, and
        what :mod:`lumi_pipeline.compute` does.
        """
        lake = self._pipeline.lake
        erasures = steps_taken(lake)  # before looking at what there is: an erasure may come in between
        stored = set(lake.store.list(PREFIX))
        keys = current_keys(every, stored)
        lacking = [asked for asked in every if keys[asked] not in stored]
        if not lacking:
            return self._complete(keys, {}, {})
        try:
            basis, signing = Basis.of(self._pipeline, run), self._pipeline.evidence_keys()
        except LumiError as error:  # a key is not here; what is stored can be verified all the same
            return self._complete(keys, {}, dict.fromkeys(lacking, error))
        units = [DraftUnit(self._address, asked, basis, draft_key(basis.run, asked)) for asked in lacking]
        try:
            signed, failed = self._drafted(units, signing, erasures)
            return self._complete(keys, signed, failed)
        finally:
            clear_drafts(lake, basis.run)

    def judge(self, keys: Mapping[Asked, str]) -> Iterator[Verdict]:
        """Yield the verdicts on stored bundles, in order."""
        trust = self._pipeline.trust()
        units = (BundleUnit(self._address, asked, key, trust) for asked, key in keys.items())
        return self._compute.map(judge_stored, units)

    def _drafted(
        self, units: Sequence[DraftUnit], keys: Sequence[SigningKey], erasures: int
    ) -> tuple[Mapping[Asked, SignedDraft], Mapping[Asked, LumiError]]:
        """Have drafts written, and sign them; also return what is wrong with those that could not be."""
        fixed = {name: hashlib.sha256(data).hexdigest() for name, data in fixed_files(units[0].basis.log_key).items()}
        signed: dict[Asked, SignedDraft] = {}
        failed: dict[Asked, LumiError] = {}
        for unit, written in zip(units, self._compute.map(write_draft, units), strict=True):
            if isinstance(written, LumiError):
                failed[unit.asked] = written
            elif any(written.get(name) != digest for name, digest in fixed.items()):
                # Auditors open these. Who can write drafts, and has no key, gets no page of their own signed.
                failed[unit.asked] = EvidenceError(
                    f"{unit} came with other verifiers, or another key of the log, than there are here, so it was not "
                    "signed; find out which worker wrote it, and what is installed there"
                )
            else:
                signed[unit.asked] = SignedDraft(unit.draft, sign_sums(written, keys), erasures)
        return signed, failed

    def _complete(
        self, keys: Mapping[Asked, str], signed: Mapping[Asked, SignedDraft], failed: Mapping[Asked, LumiError]
    ) -> Mapping[Asked, Outcome]:
        """Have every bundle completed, or verified, for which there is no error yet."""
        trust = self._pipeline.trust()
        units = [
            BundleUnit(self._address, asked, key, trust, signed.get(asked))
            for asked, key in keys.items()
            if asked not in failed
        ]
        done = self._compute.map(complete_bundle, units)
        outcomes: dict[Asked, Outcome] = {unit.asked: outcome for unit, outcome in zip(units, done, strict=True)}
        return {asked: failed[asked] if asked in failed else outcomes[asked] for asked in keys}


def _now() -> datetime:
    return datetime.now(UTC)
