import pytest

from lumi_pipeline.catalogue import CATALOGUE, Action, find_action
from lumi_pipeline.events import ACTION_SYNTAX
from lumi_pipeline.ocsf_classes import CLASSES

ACTIONS = list(CATALOGUE.values())


def test_it_lists_enough() -> None:
    assert len(ACTIONS) >= 50
    assert len({action.entity_type for action in ACTIONS}) >= 20


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_is_complete(action: Action) -> None:
    assert CATALOGUE[action.name] is action
    assert ACTION_SYNTAX.fullmatch(action.name)
    assert action.entity_type.replace("_", "").isalpha()
    assert action.entity_type.islower()
    assert action.description.endswith(".")
    assert (action.class_uid, action.class_name) in CLASSES.values()
    assert action.class_uid // 1000 in {3, 6}


@pytest.mark.parametrize(
    ("name", "uid", "class_name", "activity_id"),
    [
        ("LOGIN", 3002, "Authentication", 1),
        ("LOGOUT", 3002, "Authentication", 2),
        ("MFA_CHALLENGED", 3002, "Authentication", 99),
        ("USER_DISABLED", 3001, "Account Change", 5),
        ("SCIM_USER_DEPROVISIONED", 3001, "Account Change", 5),
        ("ROLE_ASSIGNED", 3005, "User Access Management", 1),
        ("CUSTOM_ROLE_CREATED", 3006, "Group Management", 6),
        ("POLICY_UPDATED", 3004, "Entity Management", 3),
        ("RECOMMENDATION_VIEWED", 6003, "API Activity", 2),
        ("REPORT_EXPORTED", 6001, "Web Resources Activity", 7),
        ("DAY_ACKNOWLEDGED", 3004, "Entity Management", 3),
    ],
)
def test_an_action_has_the_class_and_activity_of_ocsf(name: str, uid: int, class_name: str, activity_id: int) -> None:
    action = find_action(name)
    assert (action.class_uid, action.class_name, action.activity_id) == (uid, class_name, activity_id)


@pytest.mark.parametrize("prefix", ["SSO_", "API_KEY_", "COMMITMENT_", "INTEGRATION_", "BUDGET_", "LEGAL_HOLD_"])
def test_families_of_actions_are_there(prefix: str) -> None:
    assert sum(action.name.startswith(prefix) for action in ACTIONS) >= 2


def test_an_unlisted_action_counts_as_api_activity() -> None:
    action = find_action("LIST_BUCKETS")
    assert (action.name, action.class_uid, action.activity_id) == ("LIST_BUCKETS", 6003, 99)
