"""The catalogue of actions: what each means, what it is done to, and its OCSF class and activity.

Recording is not limited to these: a well-formed action that is not listed is recorded like any other and counts as API
Activity. To add an action, add a line; the name is what callers record and can never change its meaning afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lumi_pipeline.ocsf_classes import (
    CLASSES,
    AccountChange,
    Activity,
    Api,
    Authentication,
    Datastore,
    EntityManagement,
    GroupManagement,
    UserAccess,
    WebResources,
)

DAY_ACKNOWLEDGED: Final = "DAY_ACKNOWLEDGED"
OUTBOX_ERASED: Final = "OUTBOX_ERASED"
OUTBOX_PRUNED: Final = "OUTBOX_PRUNED"
LANDING_REBASED: Final = "LANDING_REBASED"
LEGAL_HOLD_PLACED: Final = "LEGAL_HOLD_PLACED"
LEGAL_HOLD_RELEASED: Final = "LEGAL_HOLD_RELEASED"
RECEIPTS_DIGESTED: Final = "RECEIPTS_DIGESTED"
EVIDENCE_ISSUED: Final = "EVIDENCE_ISSUED"
LOG_KEY_ROTATED: Final = "LOG_KEY_ROTATED"


@dataclass(frozen=True, slots=True)
class Action:
    """One action of the catalogue. ``entity_type`` is what callers record beside it."""

    name: str
    entity_type: str
    activity: Activity
    description: str

    @property
    def class_uid(self) -> int:
        """OCSF ``class_uid``."""
        return CLASSES[type(self.activity)][0]

    @property
    def class_name(self) -> str:
        """OCSF ``class_name``."""
        return CLASSES[type(self.activity)][1]

    @property
    def activity_id(self) -> int:
        """OCSF ``activity_id``, within the class."""
        return self.activity.value


def find_action(name: str) -> Action:
    """Return the action of this name; one that is not listed counts as API Activity, Other, on no entity type."""
    return CATALOGUE.get(name) or Action(name, "", Api.OTHER, "An action that the catalogue does not list.")


_ACTIONS: Final = (
    # Signing in and out
    Action("LOGIN", "session", Authentication.LOGON, "Somebody signed in, or tried to (outcome failure)."),
    Action("LOGOUT", "session", Authentication.LOGOFF, "Somebody signed out."),
    Action("SESSION_EXPIRED", "session", Authentication.LOGOFF, "A session ended because its time was over."),
    Action("SESSION_REVOKED", "session", Authentication.LOGOFF, "Somebody ended another person's session."),
    Action("MFA_CHALLENGED", "session", Authentication.OTHER, "A second factor was asked for and given, or not."),
    Action("IMPERSONATION_STARTED", "session", Authentication.ACCOUNT_SWITCH, "Support began to act as a user."),
    Action("IMPERSONATION_ENDED", "session", Authentication.LOGOFF, "Support stopped acting as a user."),
    # Accounts
    Action("USER_INVITED", "user", AccountChange.OTHER, "A person was invited to the tenant."),
    Action("USER_CREATED", "user", AccountChange.CREATE, "An account was created."),
    Action("USER_UPDATED", "user", AccountChange.OTHER, "An account's profile was changed."),
    Action("USER_ENABLED", "user", AccountChange.ENABLE, "A disabled account may sign in again."),
    Action("USER_DISABLED", "user", AccountChange.DISABLE, "An account may no longer sign in."),
    Action("USER_DELETED", "user", AccountChange.DELETE, "An account was deleted."),
    Action("USER_LOCKED", "user", AccountChange.LOCK, "An account was locked after failed attempts."),
    Action("USER_UNLOCKED", "user", AccountChange.UNLOCK, "A locked account was released."),
    Action("PASSWORD_CHANGED", "user", AccountChange.PASSWORD_CHANGE, "A user set another password."),
    Action("PASSWORD_RESET", "user", AccountChange.PASSWORD_RESET, "A password was reset by link or by an admin."),
    Action("MFA_ENROLLED", "user", AccountChange.MFA_FACTOR_ENABLE, "A second factor was added to an account."),
    Action("MFA_REMOVED", "user", AccountChange.MFA_FACTOR_DISABLE, "A second factor was taken off an account."),
    # Provisioning by the customer's directory
    Action("SCIM_USER_PROVISIONED", "scim_user", AccountChange.CREATE, "The directory created an account."),
    Action("SCIM_USER_UPDATED", "scim_user", AccountChange.OTHER, "The directory changed an account."),
    Action("SCIM_USER_DEPROVISIONED", "scim_user", AccountChange.DISABLE, "The directory withdrew an account."),
    Action("SCIM_GROUP_SYNCED", "scim_group", GroupManagement.OTHER, "A group's members were taken over."),
    Action("SCIM_TOKEN_ROTATED", "scim_token", EntityManagement.UPDATE, "The directory's token was replaced."),
    # Privileges, roles and groups
    Action("ROLE_ASSIGNED", "user", UserAccess.ASSIGN_PRIVILEGES, "A user was given a role."),
    Action("ROLE_REVOKED", "user", UserAccess.REVOKE_PRIVILEGES, "A role was taken from a user."),
    Action("ACCESS_REQUESTED", "access_request", UserAccess.OTHER, "A user asked for privileges."),
    Action("ACCESS_REQUEST_APPROVED", "access_request", UserAccess.ASSIGN_PRIVILEGES, "A request was granted."),
    Action("ACCESS_REQUEST_DENIED", "access_request", UserAccess.OTHER, "A request was turned down."),
    Action("CUSTOM_ROLE_CREATED", "custom_role", GroupManagement.CREATE, "A role of the tenant's own was defined."),
    Action("CUSTOM_ROLE_UPDATED", "custom_role", GroupManagement.OTHER, "The permissions of a role changed."),
    Action("CUSTOM_ROLE_DELETED", "custom_role", GroupManagement.DELETE, "A role of the tenant's own was removed."),
    Action("GROUP_CREATED", "group", GroupManagement.CREATE, "A group of users was created."),
    Action("GROUP_DELETED", "group", GroupManagement.DELETE, "A group of users was deleted."),
    Action("GROUP_MEMBER_ADDED", "group", GroupManagement.ADD_USER, "A user joined a group."),
    Action("GROUP_MEMBER_REMOVED", "group", GroupManagement.REMOVE_USER, "A user left a group."),
    # Single sign-on
    Action("SSO_CONFIGURED", "sso_connection", EntityManagement.CREATE, "Single sign-on was set up."),
    Action("SSO_UPDATED", "sso_connection", EntityManagement.UPDATE, "Single sign-on settings were changed."),
    Action("SSO_ENABLED", "sso_connection", EntityManagement.ENABLE, "Single sign-on was switched on."),
    Action("SSO_DISABLED", "sso_connection", EntityManagement.DISABLE, "Single sign-on was switched off."),
    Action("SSO_CERTIFICATE_ROTATED", "sso_connection", EntityManagement.UPDATE, "Its certificate was replaced."),
    # Keys of machines
    Action("API_KEY_CREATED", "api_key", EntityManagement.CREATE, "An API key was issued."),
    Action("API_KEY_ROTATED", "api_key", EntityManagement.UPDATE, "An API key's secret was replaced."),
    Action("API_KEY_REVOKED", "api_key", EntityManagement.DELETE, "An API key was made unusable."),
    Action("SERVICE_ACCOUNT_CREATED", "service_account", AccountChange.CREATE, "An account for a program was created."),
    Action("SERVICE_ACCOUNT_DISABLED", "service_account", AccountChange.DISABLE, "A program's account was disabled."),
    # Recommendations and what comes of them
    Action("RECOMMENDATION_CREATED", "recommendation", Api.CREATE, "The product found something to recommend."),
    Action("RECOMMENDATION_VIEWED", "recommendation", Api.READ, "Somebody opened a recommendation."),
    Action("RECOMMENDATION_ACCEPTED", "recommendation", Api.UPDATE, "Somebody accepted a recommendation."),
    Action("RECOMMENDATION_DISMISSED", "recommendation", Api.UPDATE, "Somebody dismissed a recommendation."),
    Action("RECOMMENDATION_SNOOZED", "recommendation", Api.UPDATE, "Somebody put a recommendation off."),
    Action("RECOMMENDATION_REOPENED", "recommendation", Api.UPDATE, "A settled recommendation was opened again."),
    Action("RECOMMENDATION_APPLIED", "recommendation", Api.UPDATE, "A recommendation was carried out, or failed."),
    Action("RECOMMENDATION_REVERTED", "recommendation", Api.UPDATE, "What a recommendation had changed was undone."),
    Action("TICKET_CREATED", "ticket", EntityManagement.CREATE, "A ticket was written."),
    Action("TICKET_UPDATED", "ticket", EntityManagement.UPDATE, "A ticket was changed."),
    Action("TICKET_CLOSED", "ticket", EntityManagement.UPDATE, "A ticket was closed."),
    # Money
    Action("COMMITMENT_PROPOSED", "commitment", EntityManagement.CREATE, "A commitment to spend was proposed."),
    Action("COMMITMENT_APPROVED", "commitment", EntityManagement.UPDATE, "A commitment to spend was approved."),
    Action("COMMITMENT_PURCHASED", "commitment", EntityManagement.CREATE, "A commitment to spend was bought."),
    Action("COMMITMENT_CANCELLED", "commitment", EntityManagement.DELETE, "A commitment to spend was cancelled."),
    Action("BUDGET_CREATED", "budget", EntityManagement.CREATE, "A budget was created."),
    Action("BUDGET_UPDATED", "budget", EntityManagement.UPDATE, "A budget's limit or scope was changed."),
    Action("BUDGET_DELETED", "budget", EntityManagement.DELETE, "A budget was deleted."),
    Action("BUDGET_EXCEEDED", "budget", EntityManagement.OTHER, "Spending passed a budget's limit."),
    Action("BILLING_UPDATED", "billing_account", EntityManagement.UPDATE, "How a tenant pays was changed."),
    # Automation and connected systems
    Action("POLICY_CREATED", "policy", EntityManagement.CREATE, "An automation policy was created."),
    Action("POLICY_UPDATED", "policy", EntityManagement.UPDATE, "An automation policy was changed."),
    Action("POLICY_DELETED", "policy", EntityManagement.DELETE, "An automation policy was deleted."),
    Action("INTEGRATION_CONNECTED", "integration", EntityManagement.CREATE, "Another system was connected."),
    Action("INTEGRATION_UPDATED", "integration", EntityManagement.UPDATE, "A connection's settings were changed."),
    Action("INTEGRATION_TESTED", "integration", EntityManagement.READ, "A connection was tried out."),
    Action("INTEGRATION_DISCONNECTED", "integration", EntityManagement.DELETE, "Another system was disconnected."),
    Action("CLOUD_ACCOUNT_LINKED", "cloud_account", EntityManagement.CREATE, "A cloud account was linked."),
    Action("CLOUD_ACCOUNT_UNLINKED", "cloud_account", EntityManagement.DELETE, "A cloud account was unlinked."),
    Action("WEBHOOK_CREATED", "webhook", EntityManagement.CREATE, "A webhook was created."),
    Action("WEBHOOK_UPDATED", "webhook", EntityManagement.UPDATE, "A webhook was changed."),
    Action("WEBHOOK_DELETED", "webhook", EntityManagement.DELETE, "A webhook was deleted."),
    Action("SIEM_DESTINATION_CREATED", "siem_destination", EntityManagement.CREATE, "Another SIEM was to get events."),
    Action("SIEM_DESTINATION_UPDATED", "siem_destination", EntityManagement.UPDATE, "A SIEM destination was changed."),
    Action("SIEM_DESTINATION_DELETED", "siem_destination", EntityManagement.DELETE, "A SIEM destination was removed."),
    # Looking at things and taking them out
    Action("DASHBOARD_VIEWED", "dashboard", Api.READ, "Somebody looked at a dashboard."),
    Action("DASHBOARD_SHARED", "dashboard", WebResources.SHARE, "A dashboard was shared with others."),
    Action("AUDIT_LOG_VIEWED", "audit_log", Api.READ, "Somebody looked through the audit log."),
    Action("AUDIT_LOG_EXPORTED", "audit_log", WebResources.EXPORT, "Somebody took the audit log out."),
    Action("REPORT_EXPORTED", "report", WebResources.EXPORT, "Somebody took a report out."),
    Action("COMPLIANCE_REPORT_GENERATED", "compliance_report", EntityManagement.CREATE, "Such a report was made."),
    Action("DATA_EXPORT_REQUESTED", "data_export", WebResources.EXPORT, "A copy of the tenant's data was asked for."),
    Action("DATA_IMPORTED", "data_import", WebResources.IMPORT, "Data was brought in from a file."),
    # The tenant
    Action("TENANT_CREATED", "tenant", EntityManagement.CREATE, "A customer was set up."),
    Action("TENANT_SETTINGS_UPDATED", "tenant", EntityManagement.UPDATE, "Settings of the whole tenant were changed."),
    Action("TENANT_DELETION_REQUESTED", "tenant", EntityManagement.OTHER, "A customer asked to be deleted."),
    Action("IP_ALLOWLIST_UPDATED", "ip_allowlist", EntityManagement.UPDATE, "The networks let in were changed."),
    # The pipeline's own, recorded in the operator's tenant
    Action(DAY_ACKNOWLEDGED, "day", EntityManagement.UPDATE, "The operator let a day with chain breaks seal as found."),
    Action(OUTBOX_ERASED, "event", Datastore.DELETE, "The operator erased the payload of events."),
    Action(OUTBOX_PRUNED, "day", Datastore.DELETE, "The operator removed rows that are sealed and published."),
    Action(LANDING_REBASED, "outbox", Datastore.UPDATE, "The operator accepted a restored database."),
    Action(LEGAL_HOLD_PLACED, "legal_hold", EntityManagement.CREATE, "A tenant's rows must not be pruned or erased."),
    Action(LEGAL_HOLD_RELEASED, "legal_hold", EntityManagement.DELETE, "A legal hold was lifted."),
    Action(RECEIPTS_DIGESTED, "receipts", EntityManagement.CREATE, "The digest of a destination's delivery receipts."),
    Action(EVIDENCE_ISSUED, "evidence", WebResources.EXPORT, "Evidence was made for an auditor."),
    Action(LOG_KEY_ROTATED, "log_key", EntityManagement.UPDATE, "A new key of the log or of evidence was announced."),
)  # fmt: skip

CATALOGUE: Final[Mapping[str, Action]] = MappingProxyType({action.name: action for action in _ACTIONS})
"""Every listed action by its name."""
