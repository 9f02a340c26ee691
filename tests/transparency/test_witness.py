"""Asking witnesses (C2SP tlog-witness): what a strict one accepts of us, and what we make of every answer."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logs import ORIGIN, RecordingKey, entries
from tests.transparency.fakes.witness import Refused
from tests.transparency.fakes.witness import Witness as Strict
from transparency.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.cosignature import Cosignature, verify_cosignatures
from transparency.errors import WitnessConflict, WitnessError
from transparency.keys import SigningKey, VerifierKey
from transparency.log import Log
from transparency.logview import LogView
from transparency.memorystore import MemoryStore
from transparency.note import Note, Signature, format_note, parse_note
from transparency.policy import Witness
from transparency.tiles import TileReader
from transparency.witness import MAX_AHEAD, MAX_BEHIND, Answer, KnownSize, ask, fresher, read_answer, request_body

NOW = 1_800_000_000
KEY = RecordingKey()
SIZES = range(1, 24)

Post = Callable[[bytes], Answer]


class Grown:
    """A log and its signed checkpoint at each size."""

    def __init__(self, *tail: bytes) -> None:
        self.store = MemoryStore()
        log = Log(self.store, [KEY])
        self.signed: dict[int, SignedCheckpoint] = {}
        self.trees: dict[int, TileReader] = {}
        for entry in [*entries(SIZES[-1] - len(tail)), *tail]:
            state = log.append([entry])
            data = log.checkpoint()
            assert data is not None
            self.signed[state.committed_size] = parse_signed_checkpoint(data)
            self.trees[state.committed_size] = LogView(self.store).tiles(state.committed_size, state.root)


OURS = Grown()
THEIRS = Grown(b"another last entry")


@pytest.fixture
def strict() -> Strict:
    return Strict("witness.example.org/w1", b"w" * 32, lambda: NOW, {ORIGIN: [KEY.verifier.vkey]})


def known_as(strict: Strict, name: str = "w1") -> Witness:
    return Witness(name, VerifierKey.parse(strict.vkey), "https://witness.example.org")


def over(strict: Strict, bodies: list[bytes] | None = None) -> Post:
    """The wire to a witness; notes what is sent."""

    def post(body: bytes) -> Answer:
        if bodies is not None:
            bodies.append(body)
        try:
            return Answer(200, "text/plain", strict.add_checkpoint(body))
        except Refused as refused:
            return Answer(refused.status, refused.kind.partition(";")[0], refused.body)

    return post


def submit(strict: Strict, log: Grown, size: int, *, known: int = 0, bodies: list[bytes] | None = None) -> Signature:
    witness = known_as(strict)
    return ask(witness, log.signed[size], log.trees[size], known=known, post=over(strict, bodies), now=NOW)


@pytest.mark.parametrize("size", SIZES)
def test_it_accepts_growth_from_every_size(strict: Strict, size: int) -> None:
    for old in range(size + 1):
        strict.latest = {}
        if old:
            submit(strict, OURS, old)
        bodies: list[bytes] = []
        line = submit(strict, OURS, size, known=old, bodies=bodies)
        assert len(bodies) == 1
        cosigned = parse_note(fresher(OURS.signed[size], [line]))
        witness = known_as(strict).key
        assert verify_cosignatures(cosigned, [witness]) == [Cosignature(witness, NOW)]
        assert strict.latest[ORIGIN][0] == size


def test_a_proof_of_nothing_is_empty(strict: Strict) -> None:
    """Neither from no entries nor from all of them: decided in merkle.consistency_proof."""
    for old in (0, 7):
        assert request_body(OURS.signed[7], OURS.trees[7], old) == b"old %d\n\n" % old + OURS.signed[7].data
    with pytest.raises(ValueError, match="not the tree"):
        request_body(OURS.signed[7], OURS.trees[8], 0)
    assert strict.latest == {}


def test_a_wrong_guess_costs_one_question(strict: Strict) -> None:
    submit(strict, OURS, 5)
    for known in (0, 3, 9, 4000):
        strict.latest[ORIGIN] = (5, OURS.trees[5].root)
        bodies: list[bytes] = []
        submit(strict, OURS, 9, known=known, bodies=bodies)
        assert [body.split(b"\n")[0] for body in bodies] == [b"old %d" % min(known, 9), b"old 5"]


def test_a_witness_that_forgot_everything_begins_anew(strict: Strict) -> None:
    submit(strict, OURS, 9, known=5)
    assert strict.latest[ORIGIN][0] == 9


def test_who_is_overtaken_twice_is_told_to_submit_again() -> None:
    strict = Strict("w", b"w" * 32, lambda: NOW)
    sizes = iter([b"3\n", b"4\n"])
    with pytest.raises(WitnessError, match="submit again"):
        ask(
            known_as(strict),
            OURS.signed[9],
            OURS.trees[9],
            known=0,
            post=lambda _: Answer(409, "text/x.tlog.size", next(sizes)),
            now=NOW,
        )


def test_another_history_is_a_conflict_however_it_shows(strict: Strict) -> None:
    last = SIZES[-1]
    submit(strict, THEIRS, last)
    with pytest.raises(WitnessConflict, match=r"23 entries .* another root") as caught:
        submit(strict, OURS, last)
    assert "Somebody else signs with this log's key" in str(caught.value)
    with pytest.raises(WitnessConflict, match=r"23 entries .* here are 22"):
        submit(strict, OURS, last - 1)
    assert len(strict.suspicious) == 1

    longer = MemoryStore()
    log = Log(longer, [KEY])
    log.append([*entries(last), b"one more"])
    signed = parse_signed_checkpoint(longer.get("log/checkpoint"))
    tree = LogView(longer).tiles(last + 1, signed.checkpoint.root)
    with pytest.raises(WitnessConflict, match=r"cosigned for 23 entries .* not the beginning of the 24"):
        ask(known_as(strict), signed, tree, known=last, post=over(strict), now=NOW)
    assert strict.latest[ORIGIN] == (last, THEIRS.trees[last].root)


def test_a_conflict_of_roots_needs_no_body() -> None:
    strict = Strict("w", b"w" * 32, lambda: NOW)
    for body in (b"", b"9\n", b"no"):
        with pytest.raises(WitnessConflict, match="another root"):
            read_answer(known_as(strict), OURS.signed[9], 9, Answer(409, "text/x.tlog.size" * bool(body), body), NOW)
    with pytest.raises(WitnessConflict, match="another root"):
        read_answer(known_as(strict), OURS.signed[9], 9, Answer(422, "text/plain", b""), NOW)


def test_what_a_witness_does_not_know_is_said(strict: Strict) -> None:
    strict.logs = {ORIGIN: [SigningKey.generate(ORIGIN).verifier.vkey]}
    with pytest.raises(WitnessError, match=rf"none of the keys that signed \({KEY.verifier.key_id.hex()}\).*403"):
        submit(strict, OURS, 3)
    strict.logs = {}
    with pytest.raises(WitnessError, match=r"does not know the log log\.example\.com/test.*I know no such log"):
        submit(strict, OURS, 3)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(400, "text/plain", b"bad\x1b[31m\n"), r"does not understand.*400.*bad\\x1b"),
        (Answer(422, "", b""), "does not understand"),
        (Answer(302, "", b""), "not followed"),
        (Answer(429, "", b"slow down"), "later.*slow down"),
        (Answer(503, "", b"\xff"), "later"),
        (Answer(200, "text/plain", b""), "no cosignature"),
        (Answer(200, "text/plain", b"\xff\n"), "no cosignature"),
        (Answer(200, "text/plain", "— w\n".encode()), "no cosignature"),
        (Answer(409, "text/plain", b"3\n"), "content type"),
        (Answer(409, "text/x.tlog.size", b"3"), "line feed"),
        (Answer(409, "text/x.tlog.size", b"03\n"), "does not say which"),
        (Answer(409, "text/x.tlog.size", b"9" * 30 + b"\n"), "does not say which"),
        (Answer(409, "text/x.tlog.size", b"0\n"), "the size it knows"),
    ],
)
def test_answers_that_help_nobody(strict: Strict, answer: Answer, message: str) -> None:
    with pytest.raises(WitnessError, match=message) as caught:
        read_answer(known_as(strict), OURS.signed[9], 0, answer, NOW)
    assert type(caught.value) is WitnessError


def test_only_the_policys_key_counts(strict: Strict) -> None:
    text = OURS.signed[9].note.text.encode()
    other = Strict("witness.example.org/w2", b"v" * 32, lambda: NOW)
    line, stranger = strict.line(text, NOW), other.line(text, NOW)
    both = Answer(200, "text/plain", stranger + line)
    answer = read_answer(known_as(strict), OURS.signed[9], 0, both, NOW)
    assert isinstance(answer, Signature)
    assert answer.line.encode() == line
    with pytest.raises(
        WitnessError, match=r"cosigned as 'witness.example.org/w2' .*the policy has witness.example.org/w1"
    ):
        read_answer(known_as(strict), OURS.signed[9], 0, Answer(200, "", stranger), NOW)
    of_another = Answer(200, "", strict.line(OURS.signed[8].note.text.encode(), NOW))
    with pytest.raises(WitnessError, match="does not verify; it was not used"):
        read_answer(known_as(strict), OURS.signed[9], 0, of_another, NOW)


@pytest.mark.parametrize(("late", "fine"), [(0, True), (MAX_AHEAD, True), (-MAX_BEHIND, True)])
def test_times_near_ours_are_taken(strict: Strict, *, late: int, fine: bool) -> None:
    line = Answer(200, "", strict.line(OURS.signed[9].note.text.encode(), NOW + late))
    assert isinstance(read_answer(known_as(strict), OURS.signed[9], 0, line, NOW), Signature) == fine


@pytest.mark.parametrize("late", [MAX_AHEAD + 1, -MAX_BEHIND - 1, 2**62])
def test_times_far_from_ours_are_not(strict: Strict, late: int) -> None:
    line = Answer(200, "", strict.line(OURS.signed[9].note.text.encode(), NOW + late))
    with pytest.raises(WitnessError, match="one of the two clocks is wrong"):
        read_answer(known_as(strict), OURS.signed[9], 0, line, NOW)


def test_a_witness_gets_the_logs_own_signatures_alone(strict: Strict) -> None:
    signed = parse_signed_checkpoint(fresher(OURS.signed[9], [submit(strict, OURS, 9)]))
    assert len(signed.note.signatures) == 2
    assert request_body(signed, OURS.trees[9], 9) == b"old 9\n\n" + OURS.signed[9].data


def test_a_fresher_cosignature_takes_the_place_of_the_older(strict: Strict) -> None:
    first = submit(strict, OURS, 9)
    strict.clock = lambda: NOW + 60
    again = submit(strict, OURS, 9, known=9)
    old = parse_signed_checkpoint(fresher(OURS.signed[9], [first]))
    new = parse_note(fresher(old, [again]))
    assert [found.time for found in verify_cosignatures(new, [known_as(strict).key])] == [NOW + 60]
    assert fresher(parse_signed_checkpoint(format_note(new)), [first]) == format_note(new)


STRICT = Strict("w", b"w" * 32, lambda: NOW)
LINES = STRICT.line(OURS.signed[9].note.text.encode(), NOW)


@given(
    st.integers(100, 599) | st.sampled_from([200, 409]),
    st.sampled_from(["", "text/plain", "text/x.tlog.size"]) | st.text(max_size=20),
    st.binary(max_size=200)
    | st.integers(0, 2**70).map(lambda n: b"%d\n" % n)
    | st.tuples(st.integers(0, len(LINES) - 1), st.integers(1, 255)).map(
        lambda at: LINES[: at[0]] + bytes([LINES[at[0]] ^ at[1]]) + LINES[at[0] + 1 :]
    ),
    st.integers(0, 9),
)
def test_any_answer_is_a_cosignature_a_size_or_an_error_of_ours(status: int, kind: str, body: bytes, old: int) -> None:
    try:
        found = read_answer(known_as(STRICT), OURS.signed[9], old, Answer(status, kind, body), NOW)
    except WitnessError:
        pass
    else:
        assert isinstance(found, KnownSize)
        assert found.size <= 9


# The strict witness itself: what the specification has it refuse.


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda body: body.replace(b"old 5\n", b"old 05\n"), 400),
        (lambda body: body.replace(b"old 5\n", b"older 5\n"), 400),
        (lambda body: body.replace(b"old 5\n", b"old 10\n"), 400),
        (lambda body: body.replace(b"old 5\n", b"old 5\nAAAA\n"), 400),
        (lambda body: body.removesuffix(b"\n"), 400),
        (lambda body: body.replace(b"old 5\n", b"old 4\n"), 409),
        (lambda body: b"\n".join([body.split(b"\n")[0], *body.split(b"\n")[2:]]), 422),
        (lambda body: body.replace(b"log.example.com/test\n9", b"log.example.com/else\n9"), 404),
        (lambda body: body.replace(b"log.example.com/test\n9", b"log.example.com/test\n8"), 403),
    ],
)
def test_the_strict_witness_refuses(strict: Strict, change: Callable[[bytes], bytes], status: int) -> None:
    submit(strict, OURS, 5)
    body = request_body(OURS.signed[9], OURS.trees[9], 5)
    assert change(body) != body
    with pytest.raises(Refused) as caught:
        strict.add_checkpoint(change(body))
    assert caught.value.status == status
    assert strict.latest[ORIGIN][0] == 5


def test_the_strict_witness_takes_a_signature_among_others(strict: Strict) -> None:
    other = SigningKey.generate(ORIGIN)
    head: Checkpoint = OURS.signed[9].checkpoint
    both = parse_signed_checkpoint(sign_checkpoint(head, [other, KEY]))
    assert ask(known_as(strict), both, OURS.trees[9], known=0, post=over(strict), now=NOW)
    wrong = Note(both.note.text, (Signature(ORIGIN, KEY.verifier.key_id, bytes(64)),))
    with pytest.raises(WitnessError, match="403"):
        ask(known_as(strict), SignedCheckpoint(head, wrong), OURS.trees[9], known=9, post=over(strict), now=NOW)
