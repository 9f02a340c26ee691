"""Importing AWS CloudTrail: log files as AWS delivers them, and NDJSON of the same records.

Field names are those of the CloudTrail record contents page of the AWS documentation. The whole record is kept, byte
for byte as it stands in the file, as ``after_state``.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from lumi_pipeline.errors import EventRejected, ImportFailed
from lumi_pipeline.events import MAX_TEXT_BYTES, NewEvent
from lumi_pipeline.importers.driver import ImportReport, Progress, RecordedAt, bring_in
from lumi_pipeline.importers.source import Record, read_records
from lumi_pipeline.outbox import Outbox

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_WORD: Final = re.compile(r"[^A-Za-z0-9]+")
_INTERNAL: Final = "AWS Internal"
_NAME_PARAMETERS: Final = (
    "bucketName",
    "userName",
    "roleName",
    "instanceId",
    "name",
    "groupName",
    "functionName",
    "secretId",
    "keyId",
    "dBInstanceIdentifier",
    "dBSnapshotIdentifier",
    "instanceProfileName",
    "policyArn",
    "trailName",
    "logGroupName",
    "stackName",
    "tableName",
    "clusterName",
    "queueUrl",
    "topicArn",
    "repositoryName",
    "vpcId",
    "subnetId",
    "routeTableId",
    "groupId",
    "volumeId",
    "resourceId",
    "resourceName",
)
"""The request parameters that name what a call is about, in the order in which they are looked for."""


def import_cloudtrail(
    outbox: Outbox,
    path: Path | str,
    *,
    tenant: str | None = None,
    recorded_at: RecordedAt = "now",
    first_day: date | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Record the CloudTrail records of a file that the outbox does not hold yet.

    The file holds ``{"Records": […]}`` or one record a line, gzipped or not. Each AWS account becomes a tenant unless
    ``tenant`` names one for all; an event's id is the record's ``eventID``. See
    :func:`~lumi_pipeline.importers.driver.bring_in` for the times. Raises :class:`ImportFailed`, naming the file and
    the line, for a record that cannot become an event; nothing is recorded then.
    """
    events = read_cloudtrail(Path(path), tenant)
    return bring_in(outbox, events, recorded_at=recorded_at, first_day=first_day, progress=progress)


def action_name(event_name: str) -> str:
    """Return an AWS event name as an action: ``ListMFADevices`` becomes ``LIST_MFA_DEVICES``."""
    return _NOT_A_WORD.sub("_", _WORD_STARTS.sub("_", event_name)).strip("_").upper()


def read_cloudtrail(path: Path, tenant: str | None = None) -> Iterator[NewEvent]:
    """Read the events that the records of a file become, in their order; :func:`import_cloudtrail` says how."""
    for record in read_records(path, MAX_TEXT_BYTES):
        try:
            yield _event(_Fields("", record.values), record, tenant)
        except EventRejected as error:
            raise ImportFailed(f"{path}: {record.place}: {error}") from None


def _event(fields: "_Fields", record: Record, tenant: str | None) -> NewEvent:
    identity = fields.object("userIdentity")
    return NewEvent(
        event_id=fields.required("eventID"),
        tenant_id=tenant or fields.required("recipientAccountId"),
        occurred_at=_time(fields.required("eventTime")),
        action=action_name(fields.required("eventName")),
        entity_type=fields.required("eventSource").partition(".")[0],
        entity_id=_entity_id(fields),
        outcome="success" if fields.text("errorCode") is None else "failure",
        actor_type=_actor_type(fields, identity),
        actor_id=identity.text("arn") or identity.text("principalId") or identity.text("invokedBy") or "unknown",
        auth_method=_auth_method(identity),
        actor_name=identity.text("userName"),
        ip=fields.text("sourceIPAddress"),
        user_agent=fields.text("userAgent"),
        request_id=fields.text("requestID"),
        after_state=record.text,
    )


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise EventRejected("occurred_at", f"eventTime must be like 2026-11-21T09:00:00Z; got {text[:60]!r}")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise EventRejected("occurred_at", f"eventTime {text!r} is no time that exists") from None


def _entity_id(fields: "_Fields") -> str:
    """Return what the call was about: the first resource's ARN, else the first usual name parameter, else nothing."""
    resources = fields.values.get("resources")
    if isinstance(resources, list) and resources and isinstance(resources[0], dict):
        arn = _Fields("resources[0].", resources[0]).text("ARN")
        if arn:
            return arn
    parameters = fields.values.get("requestParameters")
    if isinstance(parameters, dict):
        for name in _NAME_PARAMETERS:
            value = parameters.get(name)
            if isinstance(value, str) and value:
                return value
    return ""


def _actor_type(fields: "_Fields", identity: "_Fields") -> str:
    """Return who acted: an AWS service, AWS itself on somebody's behalf, or a user."""
    if identity.text("type") == "AWSService":
        return "service"
    return "system" if _INTERNAL in (identity.text("invokedBy"), fields.text("sourceIPAddress")) else "user"


def _auth_method(identity: "_Fields") -> str | None:
    """Return how the actor signed in: the identity's type in lower snake case, ``+mfa`` when the session had it."""
    kind = identity.text("type")
    if kind is None:
        return None
    mfa = identity.object("sessionContext").object("attributes").text("mfaAuthenticated") == "true"
    return action_name(kind).lower() + ("+mfa" if mfa else "")


class _Fields:
    """The members of one JSON object, each of the kind that CloudTrail gives it."""

    __slots__ = ("_path", "values")

    def __init__(self, path: str, values: dict[str, object]) -> None:
        self._path = path
        self.values = values

    def text(self, name: str) -> str | None:
        """Return a text; None when it is absent or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise EventRejected(name, f"{self._path}{name} must be text, got {type(value).__name__}")
        return value

    def required(self, name: str) -> str:
        """Return a text that must be there."""
        value = self.text(name)
        if not value:
            raise EventRejected(name, f"{self._path}{name} is missing; every CloudTrail record has one")
        return value

    def object(self, name: str) -> "_Fields":
        """Return an object; an empty one when it is absent or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise EventRejected(name, f"{self._path}{name} must be an object, got {type(value).__name__}")
        return _Fields(f"{self._path}{name}.", value or {})
