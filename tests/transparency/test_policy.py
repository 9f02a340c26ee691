"""Trust policies (C2SP tlog-policy): what is accepted, and what a checkpoint needs under them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.cosignature import cosign, merge_cosignatures
from transparency.errors import KeyFormatError, PolicyError, VerificationError
from transparency.keys import ALG_COSIGNATURE, SigningKey
from transparency.note import Note, Signature
from transparency.policy import MAX_OF_EACH_KIND, MAX_POLICY_SIZE, Group, Policy, Witness, evaluate

LOG: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]
ORIGIN = "example.com/log"
KEY = SigningKey(ORIGIN, b"\x01" * 32)
NEW_KEY = SigningKey(ORIGIN, b"\x02" * 32)
WITNESSES = [SigningKey(f"w.example/{number}", bytes([0x10 + number]) * 32, ALG_COSIGNATURE) for number in range(4)]
A, B, C, D = (witness.verifier.vkey for witness in WITNESSES)
SAME_KEY_ELSEWHERE = f"log {SigningKey('other.example', bytes([1]) * 32).verifier.vkey}"
LOG_AS_WITNESS = f"witness self {SigningKey(ORIGIN, bytes([1]) * 32, ALG_COSIGNATURE).verifier.vkey}"
LOG_LINE = f"log {KEY.verifier.vkey}"


def policy_of(*lines: str) -> Policy:
    return Policy.parse("".join(f"{line}\n" for line in lines).encode())


def cosigned_by(*numbers: int, keys: tuple[SigningKey, ...] = (KEY,)) -> SignedCheckpoint:
    checkpoint = Checkpoint(ORIGIN, 3, bytes(32))
    signed = parse_signed_checkpoint(sign_checkpoint(checkpoint, keys))
    lines = [cosign(checkpoint, WITNESSES[number], 1000 + number) for number in numbers]
    return SignedCheckpoint(checkpoint, merge_cosignatures(signed.note, lines))


def test_reference_vectors() -> None:
    policy = policy_of(f"log {LOG['vkey']}", f"witness w1 {LOG['witness_vkey']}", "quorum w1")
    for vector in LOG["checkpoints"]:
        verdict = evaluate(policy, parse_signed_checkpoint(vector["cosigned"].encode()))
        assert verdict.log_key.vkey == LOG["vkey"]
        assert verdict.cosigned_by == (("witness.example.org/w1", vector["witness_time"]),)
        assert verdict.quorum_met
        assert verdict.split_view_excluded
        with pytest.raises(VerificationError) as caught:
            evaluate(policy, parse_signed_checkpoint(vector["signed"].encode()))
        assert caught.value.reason == "witness-quorum"


def test_without_witnesses_a_split_view_is_not_excluded() -> None:
    for policy in (Policy.pinning(KEY.verifier.vkey), policy_of(LOG_LINE, f"witness a {A}", "quorum none")):
        verdict = evaluate(policy, cosigned_by(0))
        assert verdict.quorum_met
        assert not verdict.split_view_excluded


def test_a_policy_may_be_written_freely() -> None:
    policy = Policy.parse(
        f"# our log\n\n \t # indented\n  log\t{KEY.verifier.vkey}   https://log.example/ \n"
        f"witness a {A} https://a.example/\nwitness é€\u212a {B}\ngroup g any a é€\u212a\nquorum g".encode()
    )
    assert policy.log_keys == (KEY.verifier,)
    assert [(witness.name, witness.url) for witness in policy.witnesses] == [
        ("a", "https://a.example/"),
        ("é€\u212a", None),
    ]
    assert policy.quorum == Group("g", 1, policy.witnesses)


def test_names_are_opaque_bytes() -> None:
    policy = Policy.parse(
        f"# \xe9\nwitness \xff {A}\nwitness \xfe {B}\ngroup g 2 \xff \xfe\nquorum g\n".encode("latin-1")
    )
    assert isinstance(policy.quorum, Group)
    assert policy.quorum.threshold == 2


def test_two_levels_of_groups() -> None:
    policy = policy_of(
        LOG_LINE,
        *(f"witness {name} {vkey}" for name, vkey in zip("abcd", (A, B, C, D), strict=True)),
        "group ab all a b",
        "group cd any c d",
        "group both 2 ab cd",
        "quorum both",
    )
    for numbers in ((0, 1, 2), (0, 1, 3), (0, 1, 2, 3)):
        assert evaluate(policy, cosigned_by(*numbers)).split_view_excluded
    for numbers in ((), (0, 1), (0, 2, 3), (2, 3)):
        with pytest.raises(VerificationError) as caught:
            evaluate(policy, cosigned_by(*numbers))
        assert caught.value.reason == "witness-quorum"


@given(st.integers(1, 4), st.sets(st.integers(0, 3)))
def test_thresholds_count_members(threshold: int, cosigners: set[int]) -> None:
    policy = policy_of(
        LOG_LINE,
        *(f"witness {name} {vkey}" for name, vkey in zip("abcd", (A, B, C, D), strict=True)),
        f"group g {threshold} a b c d",
        "quorum g",
    )
    verdict = evaluate(policy, cosigned_by(*sorted(cosigners)), require_quorum=False)
    assert verdict.quorum_met == (len(cosigners) >= threshold)
    assert verdict.split_view_excluded == (verdict.quorum_met and 4 - len(cosigners) < threshold)
    assert len(verdict.cosigned_by) == len(cosigners)


def test_witnesses_that_could_be_passed_by_exclude_no_split_view() -> None:
    either = policy_of(LOG_LINE, *W[:2], "group g any a b", "quorum g")
    for numbers, excluded in (((0,), False), ((1,), False), ((0, 1), True)):
        verdict = evaluate(either, cosigned_by(*numbers))
        assert verdict.quorum_met
        assert verdict.split_view_excluded is excluded
    two_pairs = policy_of(LOG_LINE, *W, "group ab all a b", "group cd all c d", "group g any ab cd", "quorum g")
    assert not evaluate(two_pairs, cosigned_by(0, 1)).split_view_excluded
    assert evaluate(two_pairs, cosigned_by(0, 1, 2)).split_view_excluded


def test_the_error_of_a_missing_quorum_says_who_is_needed_and_who_signed() -> None:
    policy = policy_of(LOG_LINE, f"witness anna {A}", f"witness ben {B}", "group g all anna ben", "quorum g")
    with pytest.raises(VerificationError, match=r"2 of the 2 members of group 'g'.*cosigned by 'ben'"):
        evaluate(policy, cosigned_by(1))
    with pytest.raises(VerificationError, match=r"witness 'anna' needed, cosigned by 'nobody'"):
        evaluate(policy_of(LOG_LINE, f"witness anna {A}", "quorum anna"), cosigned_by(1))


def test_a_failing_cosignature_of_a_trusted_witness_rejects() -> None:
    signed = cosigned_by(0)
    bad = Signature(WITNESSES[0].name, WITNESSES[0].verifier.key_id, bytes(72))
    broken = SignedCheckpoint(signed.checkpoint, Note(signed.note.text, (signed.note.signatures[0], bad)))
    policy = policy_of(LOG_LINE, f"witness a {A}", f"witness b {B}", "quorum none")
    with pytest.raises(VerificationError) as caught:
        evaluate(policy, broken, require_quorum=False)
    assert caught.value.reason == "witness-signature"
    assert evaluate(policy_of(LOG_LINE, f"witness b {B}", "quorum none"), broken).cosigned_by == ()


def test_witnesses_do_not_stand_in_for_the_log() -> None:
    policy = policy_of(f"log {NEW_KEY.verifier.vkey}", f"witness a {A}", "quorum a")
    with pytest.raises(VerificationError) as caught:
        evaluate(policy, cosigned_by(0))
    assert caught.value.reason == "checkpoint-signature"
    with pytest.raises(VerificationError) as caught:
        evaluate(policy_of(f"witness a {A}", "quorum a"), cosigned_by(0))
    assert caught.value.reason == "checkpoint-origin"


def test_both_keys_of_a_rotation_can_be_pinned() -> None:
    policy = Policy.pinning(KEY.verifier.vkey, NEW_KEY.verifier.vkey, LOG["vkey"])
    assert policy.pinned_keys(ORIGIN) == (KEY.verifier, NEW_KEY.verifier)
    assert evaluate(policy, cosigned_by(keys=(NEW_KEY,))).log_key == NEW_KEY.verifier
    assert evaluate(policy, cosigned_by(keys=(KEY, NEW_KEY))).log_keys == (KEY.verifier, NEW_KEY.verifier)


def test_of_pinned_witnesses_any_one_is_enough() -> None:
    policy = Policy.pinning(A, KEY.verifier.vkey, B, A)
    assert (policy.log_keys, [witness.key.vkey for witness in policy.witnesses]) == ((KEY.verifier,), [A, B])
    assert evaluate(policy, cosigned_by(1)).quorum_met
    with pytest.raises(VerificationError) as caught:
        evaluate(policy, cosigned_by(2))
    assert caught.value.reason == "witness-quorum"


def test_pinning_takes_keys_alone() -> None:
    with pytest.raises(KeyFormatError):
        Policy.pinning("nonsense")


W = [f"witness {name} {vkey}" for name, vkey in zip("abcd", (A, B, C, D), strict=True)]


@pytest.mark.parametrize(
    ("lines", "number", "message"),
    [
        ([LOG_LINE], None, "no quorum line"),
        ([], None, "no quorum line"),
        (["quorum none", "quorum none"], 2, "second quorum line; the first is line 1"),
        (["quorum"], 1, "not a log"),
        (["quorum none none"], 1, "not a log"),
        (["quorum a", W[0]], 1, "'a' is defined above"),
        (["log"], 1, "not a log"),
        (["Log x"], 1, "not a log"),
        ([f"{LOG_LINE} url more"], 1, "not a log"),
        ([LOG_LINE, LOG_LINE], 2, "listed twice"),
        ([LOG_LINE, SAME_KEY_ELSEWHERE], 2, "listed twice"),
        ([f"log {A}"], 1, "key of a log"),
        (["log nonsense"], 1, "key"),
        ([f"witness a {KEY.verifier.vkey}"], 1, "key of a witness"),
        (["witness a"], 1, "not a log"),
        ([W[0], W[0]], 2, "listed twice"),
        ([W[0], f"witness b {A}"], 2, "listed twice"),
        ([LOG_LINE, LOG_AS_WITNESS], 2, "the key of witness 'self' is listed twice"),
        ([LOG_AS_WITNESS, LOG_LINE], 2, "the key of log 'example.com/log' is listed twice"),
        ([W[0], f"witness a {B}"], 2, "defined twice"),
        ([f"witness none {A}"], 1, "reserved"),
        ([*W, "", "group none any a"], 6, "reserved"),
        ([*W, "group a any b"], 5, "defined twice"),
        ([*W, "group g any a", "group g any b"], 6, "defined twice"),
        ([*W, "group g any"], 5, "not a log"),
        ([*W, "group g"], 5, "not a log"),
        ([*W, "group g some a"], 5, "'all', 'any' or a number"),
        ([*W, "group g 0 a"], 5, "not within 1 to 1"),
        ([*W, "group g 2 a"], 5, "not within 1 to 1"),
        ([*W, "group g 01 a"], 5, "'all', 'any' or a number"),
        ([*W, "group g -1 a"], 5, "'all', 'any' or a number"),
        ([*W, f"group g {'9' * 5000} a"], 5, "number"),
        ([*W, "group g all a a"], 5, "already a member"),
        ([*W, "group g all a", "group h any a b"], 6, "already a member"),
        ([*W, "group g all a", "group h any g", "group i any g"], 7, "already a member"),
        ([*W, "group g any e"], 5, "'e' is defined above"),
        ([*W, "group g any g"], 5, "'g' is defined above"),
        ([*W, "group g any none"], 5, "'none' is defined above"),
        (["quorum none\r"], 1, "LF line ends"),
        (["# nul \x00"], 1, "control character"),
        (["# del \x7f"], 1, "control character"),
        (["\ufeffquorum none"], 1, "not a log"),
        (["quorum none # comment"], 1, "not a log"),
        (["quorum\u00a0none"], 1, "not a log"),
    ],
)
def test_errors_name_the_line(lines: list[str], number: int | None, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_of(*lines)
    assert message in str(caught.value)
    assert number is None or str(caught.value).startswith(f"policy line {number}: ")


def many(count: int) -> list[str]:
    return [
        f"witness w{number} {SigningKey(f'w{number}', number.to_bytes(32), ALG_COSIGNATURE).verifier.vkey}"
        for number in range(count)
    ]


def test_limits() -> None:
    lines = many(MAX_OF_EACH_KIND + 1)
    logs = [line.split(" ")[2].split("+")[0] for line in lines]
    log_lines = [f"log {SigningKey(name, number.to_bytes(32)).verifier.vkey}" for number, name in enumerate(logs, 1000)]
    chain = [f"group g0 any w{MAX_OF_EACH_KIND - 1}"]
    chain += [f"group g{number} any g{number - 1}" for number in range(1, MAX_OF_EACH_KIND + 1)]
    fits = [*lines[:-1], *log_lines[:-1], *chain[:-1]]
    assert isinstance(policy_of(*fits, f"quorum g{MAX_OF_EACH_KIND - 1}").quorum, Group)
    for one_more in (lines[-1], log_lines[-1], chain[-1]):
        with pytest.raises(PolicyError, match="more than 256"):
            policy_of(*fits, one_more)
    with pytest.raises(PolicyError, match="at most"):
        Policy.parse(b"#" * (MAX_POLICY_SIZE + 1))


def test_a_chain_of_groups_as_deep_as_allowed_is_evaluated() -> None:
    chain = ["group g0 any a", *(f"group g{number} any g{number - 1}" for number in range(1, MAX_OF_EACH_KIND))]
    policy = policy_of(LOG_LINE, W[0], *chain, f"quorum g{MAX_OF_EACH_KIND - 1}")
    assert evaluate(policy, cosigned_by(0)).split_view_excluded


def test_the_single_witness_as_quorum() -> None:
    policy = policy_of(LOG_LINE, W[0], "quorum a")
    assert policy.quorum == Witness("a", WITNESSES[0].verifier)
