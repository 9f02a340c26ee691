"""Collecting cosignatures: every witness of the policy that has an address is asked, all at the same time.

What a request and an answer are is in ``transparency/witness.py``. Here are the connections, and the decision whether a
checkpoint may be published with the cosignatures it got. Which size a witness knows is not kept, where it could be lost
or set wrong: it follows from the checkpoints that it has cosigned.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from lumi_pipeline.errors import WitnessesMissing
from lumi_pipeline.gathered import Gathered
from lumi_pipeline.siem.transport import NotAllowed, NotSent, Transport, Unanswered
from transparency.checkpoint import SignedCheckpoint, parse_signed_checkpoint
from transparency.cosignature import cosignature_time, verify_cosignatures
from transparency.errors import WitnessConflict, WitnessError
from transparency.logview import LogView
from transparency.note import Signature
from transparency.policy import Policy, Witness, describe_quorum
from transparency.witness import Answer, ask, fresher

TIMEOUT: Final = 15.0
"""Seconds that one request to a witness may take, from looking up its name to the last byte of its answer."""

_LOOK_BACK: Final = 8
"""How many kept checkpoints are searched for a witness's last signature; one that is in none is asked from size 0."""

_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a witness of the policy did: the time of its cosignature (POSIX seconds), or why there is none."""

    witness: str
    time: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Cosigning:
    """What became of one checkpoint: its size, every witness's reply, and how far that goes.

    ``quorum_met`` is about all cosignatures that the checkpoint has now, ``fresh_quorum`` about those of these replies
    alone. ``quorum`` says in words what the policy asks for.
    """

    size: int
    replies: tuple[Reply, ...]
    quorum: str
    quorum_met: bool
    fresh_quorum: bool

    @property
    def cosigned_by(self) -> tuple[str, ...]:
        """The witnesses that cosigned now, by the policy's names for them."""
        return tuple(reply.witness for reply in self.replies if reply.time is not None)


@dataclass(frozen=True, slots=True)
class _Reach:
    """How witnesses are reached. Addresses come from the operator's own policy, so private ones are fine."""

    concurrency: int
    timeout: float
    allow_private: bool = True
    ca_file: Path | None = None
    proxy: str | None = None


class Cosigner:
    """Asks the witnesses of a policy about each checkpoint it is given; :class:`transparency.log.Log` calls it.

    With ``required`` a checkpoint that does not get the policy's quorum is not returned: it raises
    :class:`~lumi_pipeline.errors.WitnessesMissing`. A witness that has seen another history raises
    :class:`~transparency.errors.WitnessConflict` in any case. ``last`` is what became of the last checkpoint.

    ``gathered`` has what witnesses have signed in vain: who is there is not asked again, and what did not make up a
    quorum this time is kept there for the next.
    """

    def __init__(
        self,
        policy: Policy,
        view: LogView,
        clock: Callable[[], datetime],
        *,
        required: bool,
        gathered: Gathered | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.last: Cosigning | None = None
        self._timeout = timeout
        self._policy = policy
        self._view = view
        self._clock = clock
        self._required = required
        self._gathered = gathered

    def __call__(self, checkpoint: bytes) -> bytes:
        """Return the checkpoint with the cosignatures that it got."""
        signed = parse_signed_checkpoint(checkpoint)
        answers = self._ask_all(signed, self._gathered.of(signed, self._policy.witnesses) if self._gathered else {})
        lines = [answer for answer in answers if isinstance(answer, Signature)]
        cosigned = fresher(signed, lines)
        self.last = self._sum_up(parse_signed_checkpoint(cosigned), answers)
        conflicts = [
            f"witness {witness.name}: {answer}"
            for witness, answer in zip(self._policy.witnesses, answers, strict=True)
            if isinstance(answer, WitnessConflict)
        ]
        if conflicts:
            see = "see 'A witness has seen another history' in docs/operations.md"
            raise WitnessConflict("\n".join([*conflicts, f"Nothing was published; {see}"]))
        if self._required and not self.last.quorum_met:
            if self._gathered and lines:
                self._gathered.keep(signed.checkpoint.size, cosigned)
            raise WitnessesMissing(_missing(self.last))
        return cosigned

    def _ask_all(self, signed: SignedCheckpoint, gathered: Mapping[str, Signature]) -> list[Signature | WitnessError]:
        """What each witness of the policy answers, or had answered already, in their order."""
        known = self._known_sizes()
        threads = max(len(self._policy.witnesses), 1)
        transport = Transport(_Reach(threads, self._timeout))
        now = int(self._clock().timestamp())
        head = signed.checkpoint

        def ask_one(witness: Witness) -> Signature | WitnessError:
            if witness.name in gathered:
                return gathered[witness.name]
            if witness.url is None:
                return WitnessError("the policy has no address for it; add the URL at the end of its line")
            url = f"{witness.url.removesuffix('/')}/add-checkpoint"

            def post(body: bytes) -> Answer:
                answer = transport.post(url, body, _HEADERS)
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                return Answer(answer.status, kind, answer.body)

            # A reader of its own for each: they remember tiles, and are not made for several threads.
            tree = self._view.tiles(head.size, head.root)
            try:
                return ask(witness, signed, tree, known=known.get(witness.name, 0), post=post, now=now)
            except WitnessError as error:
                return error
            except NotAllowed as error:
                return WitnessError(f"{error}; correct its address in the policy")
            except (NotSent, Unanswered) as error:
                return WitnessError(f"{error}; submit again later")

        try:
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(ask_one, self._policy.witnesses))
        finally:
            transport.close()

    def _known_sizes(self) -> dict[str, int]:
        """The size that each witness cosigned last, as far as we have seen; what is wrong here costs one question."""
        known: dict[str, int] = {}
        for data in islice(self._view.kept_checkpoints(), _LOOK_BACK):
            signed = parse_signed_checkpoint(data)
            signers = {(line.name, line.key_id) for line in signed.note.signatures}
            for witness in self._policy.witnesses:
                if (witness.key.name, witness.key.key_id) in signers:
                    known.setdefault(witness.name, signed.checkpoint.size)
            if len(known) == len(self._policy.witnesses):
                break
        return known

    def _sum_up(self, cosigned: SignedCheckpoint, answers: Sequence[Signature | WitnessError]) -> Cosigning:
        policy = self._policy
        cosigners = {found.witness for found in verify_cosignatures(cosigned.note, [w.key for w in policy.witnesses])}
        replies = tuple(
            Reply(witness.name, cosignature_time(answer), None)
            if isinstance(answer, Signature)
            else Reply(witness.name, None, str(answer))
            for witness, answer in zip(policy.witnesses, answers, strict=True)
        )
        fresh = {
            witness.key
            for witness, answer in zip(policy.witnesses, answers, strict=True)
            if isinstance(answer, Signature)
        }
        return Cosigning(
            cosigned.checkpoint.size,
            replies,
            describe_quorum(policy.quorum),
            policy.has_quorum(cosigners),
            policy.has_quorum(fresh),
        )


def _missing(cosigning: Cosigning) -> str:
    present = ", ".join(cosigning.cosigned_by) or "nobody"
    problems = "".join(f"\n  {reply.witness}: {reply.problem}" for reply in cosigning.replies if reply.problem)
    return (
        f"the checkpoint of {cosigning.size} entries lacks the policy's quorum of witnesses: {cosigning.quorum} "
        f"needed, cosigned by {present}.{problems}\nIt is not public; the next run asks those that have not signed. To "
        'publish without a quorum meanwhile, set witness_fail = "open"'
    )
