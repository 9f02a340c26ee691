"""What works without people: the directory sync at night, the analysis engine, scheduled reports, API keys.

As in :mod:`lumi_pipeline.demo.habits`, every step of a script emits exactly one event.
"""

from lumi_pipeline.demo.cast import Service, invented_name
from lumi_pipeline.demo.estate import state
from lumi_pipeline.demo.habits import FRAMEWORKS, colleague
from lumi_pipeline.demo.scene import Scene, Script

_DAY_SECONDS = 86_400
_JOINS = 0.06
_LEAVES = 0.10
_COMES_BACK = 0.3
_WARNS = 0.2
_COMPLIES = 0.2
_DEPARTMENTS = ("finance", "platform", "data", "storefront", "security")


def sync_directory(scene: Scene, steps: int) -> Script:
    """Take over what changed in the customer's directory: mostly attributes, some who join, some who leave.

    Those who leave here never had a session, so that activity after deprovisioning is the planted story alone.
    """
    rng, directory = scene.rng, scene.tenant.directory
    for _ in range(steps):
        chance = rng.random()
        if chance < _JOINS:
            after = state(active=True, name=invented_name(rng), department=rng.choice(_DEPARTMENTS))
            _emit(scene, directory, "SCIM_USER_PROVISIONED", f"u-{rng.getrandbits(40):010x}", (None, after))
        elif chance < _LEAVES:
            states = state(active=True), state(active=False)
            _emit(scene, directory, "SCIM_USER_DEPROVISIONED", f"u-{rng.getrandbits(40):010x}", states)
        else:
            old, new = rng.sample(_DEPARTMENTS, k=2)
            states = state(department=old), state(department=new)
            _emit(scene, directory, "SCIM_USER_UPDATED", colleague(scene).actor_id, states)
        yield rng.uniform(0.05, 2.0)


def analyse(scene: Scene, steps: int) -> Script:
    """Take in cost data, bring back what was put off, and find new recommendations for the ones that were settled."""
    rng, estate, engine = scene.rng, scene.estate, scene.tenant.engine
    for step in range(steps):
        if step and estate.snoozed and rng.random() < _COMES_BACK:
            found = estate.snoozed.popleft()
            estate.reopen(found)
            _emit(scene, engine, "RECOMMENDATION_REOPENED", found.rec_id, found.move("open"))
        elif step and len(estate.open) < estate.target:
            found = estate.discover()
            _emit(scene, engine, "RECOMMENDATION_CREATED", found.rec_id, (None, found.snapshot()))
        else:
            after = state(source="billing_export", rows=rng.randint(1_000, 90_000))
            _emit(scene, engine, "DATA_IMPORTED", estate.number("imp"), (None, after))
        yield rng.uniform(0.02, 1.5)


def send_reports(scene: Scene, steps: int) -> Script:
    """Send the dashboards and compliance reports that people subscribed to, and warn of budgets that run out."""
    rng, estate, scheduler = scene.rng, scene.estate, scene.tenant.scheduler
    for _ in range(steps):
        chance = rng.random()
        if chance < _WARNS:
            budget = rng.choice(estate.budgets)
            spent = round(budget.limit * rng.uniform(1.0, 1.3), 2)
            after = state(team=budget.team, monthly_limit_usd=budget.limit, spent_usd=spent)
            _emit(scene, scheduler, "BUDGET_EXCEEDED", budget.budget_id, (None, after))
        elif chance < _WARNS + _COMPLIES:
            after = state(framework=rng.choice(FRAMEWORKS), period_days=1, schedule="daily")
            _emit(scene, scheduler, "COMPLIANCE_REPORT_GENERATED", estate.number("crep"), (None, after))
        else:
            after = state(schedule="daily", recipients=rng.randint(1, 30))
            _emit(scene, scheduler, "DASHBOARD_SHARED", rng.choice(estate.dashboards), (None, after))
        yield rng.uniform(0.5, 8.0)


def use_key(scene: Scene, key: Service, steps: int) -> Script:
    """Let an automation read recommendations all day long; now and then it asks for what it may not see."""
    rng = scene.rng
    pause = _DAY_SECONDS / (steps + 1)
    for _ in range(steps):
        outcome = "failure" if rng.random() < 0.02 else "success"
        scene.emit(key, key.link, "RECOMMENDATION_VIEWED", scene.estate.pick().rec_id, outcome=outcome)
        yield rng.uniform(0.0, 2.0) * pause


def _emit(scene: Scene, who: Service, action: str, entity_id: str, states: tuple[str | None, str | None]) -> None:
    scene.emit(who, who.link, action, entity_id, states=states)
