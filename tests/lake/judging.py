"""All verdicts on a world, as ``lumi verify --all`` gives them."""

from lumi_pipeline.cli.history import judge_history
from lumi_pipeline.verdict import Verdict
from tests.lake.world import World


def judge(world: World) -> list[Verdict]:
    """Verify the log, each sealed day, the landings and the outbox, as somebody who knows the log's key."""
    return list(judge_history(world.pipeline(), world.policy, None, None))
