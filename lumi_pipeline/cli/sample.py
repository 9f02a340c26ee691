"""``lumi sample``: a random sample of a bundle's events, with proofs, that an auditor can repeat."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import VerifyingCommand, examples
from lumi_pipeline.cli.options import PATH, json_option
from lumi_pipeline.cli.output import say, say_json
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.cli.trust import read_trust, trust_options
from lumi_pipeline.cli.verdicts import show_verdicts
from lumi_pipeline.errors import LumiError

if TYPE_CHECKING:
    from lumi_pipeline.verdict import Verdict


@click.command(
    cls=VerifyingCommand,
    epilog=examples(
        "lumi sample --evidence evidence-acme-2026-10-01-2026-12-31 -n 25 --nonce 'dice: 4 1 6 2 5 3' --key log.vkey"
    ),
)
@click.option("--evidence", "bundle", required=True, type=PATH, metavar="PATH", help="A bundle: folder or ZIP file.")
@click.option("-n", "count", type=int, default=25, show_default=True, metavar="NUMBER", help="How many events.")
@click.option("--nonce", required=True, metavar="TEXT", help="Chosen by the auditor once the evidence is there.")
@click.option("--out", type=PATH, default=Path("sample"), show_default=True, metavar="DIR", help="A new directory.")
@trust_options
@json_option
@click.pass_context
def sample(
    ctx: click.Context,
    /,
    bundle: Path,
    count: int,
    nonce: str,
    out: Path,
    key_texts: tuple[str, ...],
    policy_file: Path | None,
    as_json: bool,
) -> None:
    """Draw a random sample of events from a bundle, each with its proof.

    The bundle is verified first. Which events are drawn follows from the log's checkpoint in it and from your nonce:
    the operator could not foresee the nonce, and you could not foresee the checkpoint. Anybody who knows the nonce gets
    the same events. Exit codes are those of `lumi verify`.
    """
    from lumi_pipeline.evidence.cells import HEADER, LineWriter
    from lumi_pipeline.evidence.judging import judge_bundle
    from lumi_pipeline.evidence.sampling import check_wanted, draw_sample
    from lumi_pipeline.evidence.workfolder import put_in_place, working_folder

    try:
        check_wanted(count, nonce)
    except LumiError as error:
        raise click.UsageError(str(error), ctx) from None
    if out.exists():
        raise click.UsageError(f"{out} is there already; name a new directory with --out", ctx)
    judged: list[Verdict] = []

    def verdicts() -> "Iterator[Verdict]":
        with progress("Verifying", "rows") as meter:
            judged.append(judge_bundle(bundle, read_trust(key_texts, policy_file), str(bundle), meter.reach))
        yield judged[0]

    code = next(verdicts()).status.value if as_json else show_verdicts(verdicts(), as_json=False)
    [verdict] = judged
    if verdict.reason not in {"ok", "key-unconfirmed", "declared-break"}:
        ctx.exit(show_verdicts([verdict], as_json=True) if as_json else code)
    drawn = draw_sample(bundle, count, nonce)
    with working_folder(out, out.name) as folder:
        with LineWriter() as writer:
            (folder / "sample.csv").write_bytes(b"".join((HEADER, *writer.lines(drawn.events))))
        for event_id, proof in drawn.proofs.items():
            (folder / f"{event_id}.tlog-proof").write_bytes(proof)
        put_in_place(folder, out)
    if as_json:
        facts = {"drawn": list(drawn.proofs), "nonce": nonce, "out": str(out), "population": drawn.population}
        say_json({**facts, "verdict": verdict.to_json()})
        ctx.exit(code)
    say(f"Drew {len(drawn.proofs):,} of {drawn.population:,} events with the nonce {nonce!r} into {out}:")
    rows = zip(*(drawn.events.column(name).to_pylist() for name in ("seq", "event_id", "action")), strict=True)
    for seq, event_id, action in rows:
        say(f"  {seq:>10}  {event_id}  {action}")
    say(f"sample.csv has them in full. Check one with: lumi verify {out}/EVENT-ID.tlog-proof --key LOG-VKEY")
    ctx.exit(code)
