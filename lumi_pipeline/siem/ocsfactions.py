"""Which OCSF class and activity an action is, as SQL: constants that an event's action is looked up among.

The catalogue (catalogue.py) decides. Looking up is a cast to an enumeration and an index into a list, which costs the
same for the first action and the last.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from lumi_pipeline.catalogue import CATALOGUE, Action, find_action
from lumi_pipeline.ocsf_classes import (
    AccountChange,
    Api,
    Authentication,
    Datastore,
    EntityManagement,
    GroupManagement,
    UserAccess,
    WebResources,
)
from lumi_pipeline.siem.sqltext import Alternatives, joined, json_text, quoted
from transparency.encoding import Json, canonical_json


class Shape(Enum):
    """What an event of an action says besides what all say. Mostly that is decided by its class.

    Of signing in and of asking for access the actor is the subject; of what is done to others, the entity is, if it is
    an account.
    """

    ACCOUNT = 1
    OWN_SESSION = 2
    SESSION = 3
    OWN_ACCESS = 4
    ACCESS = 5
    ENTITY = 6
    GROUP = 7
    WEB = 8
    API = 9
    DATASTORE = 10


_SHAPES: Final = {
    AccountChange: Shape.ACCOUNT,
    Authentication: Shape.SESSION,
    EntityManagement: Shape.ENTITY,
    UserAccess: Shape.ACCESS,
    GroupManagement: Shape.GROUP,
    WebResources: Shape.WEB,
    Api: Shape.API,
    Datastore: Shape.DATASTORE,
}
_OWN: Final = {
    **dict.fromkeys(("LOGIN", "LOGOUT", "SESSION_EXPIRED", "MFA_CHALLENGED"), Shape.OWN_SESSION),
    "ACCESS_REQUESTED": Shape.OWN_ACCESS,
}
VERSION: Final = "1.8.0"
_OTHER: Final = 99
_CATEGORIES: Final = {3: "Identity & Access Management", 6: "Application Activity"}
_PRODUCT: Final = {"name": "lumi-pipeline", "vendor_name": "Lumi"}

_NO_NAME: Final = "?"
"""Stands for the name of an action that is not listed, which is the event's."""

_LISTED: Final[Sequence[Action]] = tuple(CATALOGUE.values())
_ALL: Final = (find_action(_NO_NAME), *_LISTED)
"""The action that is not listed first."""

_POSITION: Final = (
    f"coalesce(enum_code(TRY_CAST(action AS ENUM({','.join(quoted(action.name) for action in _LISTED)})))::INTEGER + 2"
    ", 1)"
)


def shape(action: Action) -> Shape:
    """Return what events of an action look like."""
    return _OWN.get(action.name) or _SHAPES[type(action.activity)]


def activity_name(action: Action) -> str:
    """Return OCSF's caption of an action's activity."""
    return action.activity.name.replace("_", " ").title().replace("Mfa ", "MFA ")


def source() -> str:
    """Return the FROM clause that the other expressions need: it looks an event's action up, once."""
    shapes = ",".join(str(shape(action).value) for action in _ALL)
    columns = f"{_POSITION} AS ocsf_position, list_value({shapes})[{_POSITION}] AS ocsf_shape"
    return f"(SELECT *, {columns} FROM events) AS events"  # noqa: S608 - all constants of ours


def beginning() -> str:
    """Return the expression of the beginning of an event: the members that its action decides.

    It ends within ``metadata``, the last of them, where more members follow after a comma.
    """
    unlisted, *listed = (_beginning(action) for action in _ALL)
    before, between, after = unlisted.split(canonical_json(_NO_NAME))
    spelled = joined(quoted(before), json_text("action"), quoted(between), json_text("action"), quoted(after))
    constants = [quoted(text) for text in listed]
    expression = f"coalesce(list_value(NULL,{','.join(constants)})[ocsf_position], {spelled})"
    return Alternatives(expression, "ocsf_position - 1", [spelled, *constants])


def by_shape(expressions: Mapping[Shape, str]) -> str:
    """Return the expression that is one of several, as the action's shape is; of no text for one that is left out."""
    cases = " ".join(f"WHEN {which.value} THEN {expression}" for which, expression in expressions.items())
    branches = [expressions.get(which, quoted("")) for which in Shape]
    return Alternatives(f"CASE ocsf_shape {cases} ELSE '' END", "ocsf_shape - 1", branches)


def _beginning(action: Action) -> str:
    category = action.class_uid // 1000
    # Where OCSF has no name for an activity, it is called what its source calls it.
    name = activity_name(action) if action.activity_id != _OTHER else action.name
    metadata: dict[str, Json] = {"event_code": action.name, "product": dict(_PRODUCT), "version": VERSION}
    if shape(action) is Shape.WEB:
        metadata["profiles"] = ["host"]  # with which Web Resources Activity has an actor
    members: dict[str, Json] = {
        "activity_id": action.activity_id,
        "activity_name": name,
        "category_name": _CATEGORIES[category],
        "category_uid": category,
        "class_name": action.class_name,
        "class_uid": action.class_uid,
        "severity": "Informational",
        "severity_id": 1,
        "type_name": f"{action.class_name}: {activity_name(action)}",
        "type_uid": action.class_uid * 100 + action.activity_id,
    }
    return f'{canonical_json(members)[:-1]},"metadata":{canonical_json(metadata)[:-1]}'
