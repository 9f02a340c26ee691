"""The event classes of the Open Cybersecurity Schema Framework that our actions fall into, with their activities.

Numbers and names are those of OCSF 1.8.0 (schema.ocsf.io), categories Identity & Access Management (3) and Application
Activity (6). Each enumeration is one class; its members are the class's ``activity_id`` values that we use.
"""

from enum import IntEnum
from typing import Final, TypeAlias


class AccountChange(IntEnum):
    """Account Change: a user was created, enabled, disabled, locked, given another password or factor."""

    CREATE = 1
    ENABLE = 2
    PASSWORD_CHANGE = 3
    PASSWORD_RESET = 4
    DISABLE = 5
    DELETE = 6
    LOCK = 9
    MFA_FACTOR_ENABLE = 10
    MFA_FACTOR_DISABLE = 11
    UNLOCK = 12
    OTHER = 99


class Authentication(IntEnum):
    """Authentication: signing in and out, and what belongs to it."""

    LOGON = 1
    LOGOFF = 2
    ACCOUNT_SWITCH = 7
    OTHER = 99


class EntityManagement(IntEnum):
    """Entity Management: a managed object was created, read, changed, deleted, switched on or off."""

    CREATE = 1
    READ = 2
    UPDATE = 3
    DELETE = 4
    ENABLE = 8
    DISABLE = 9
    OTHER = 99


class UserAccess(IntEnum):
    """User Access Management: privileges were given to a user or taken away."""

    ASSIGN_PRIVILEGES = 1
    REVOKE_PRIVILEGES = 2
    OTHER = 99


class GroupManagement(IntEnum):
    """Group Management: a group or role, its members or its privileges changed."""

    ASSIGN_PRIVILEGES = 1
    REVOKE_PRIVILEGES = 2
    ADD_USER = 3
    REMOVE_USER = 4
    DELETE = 5
    CREATE = 6
    OTHER = 99


class WebResources(IntEnum):
    """Web Resources Activity: something was searched, imported, exported or shared in the application."""

    SEARCH = 5
    IMPORT = 6
    EXPORT = 7
    SHARE = 8
    OTHER = 99


class Api(IntEnum):
    """API Activity: use of the application that no narrower class describes."""

    CREATE = 1
    READ = 2
    UPDATE = 3
    DELETE = 4
    OTHER = 99


class Datastore(IntEnum):
    """Datastore Activity: stored data was read, changed or deleted as such."""

    READ = 1
    UPDATE = 2
    DELETE = 7
    OTHER = 99


Activity: TypeAlias = (
    AccountChange | Authentication | EntityManagement | UserAccess | GroupManagement | WebResources | Api | Datastore
)
"""One activity of one class."""

CLASSES: Final[dict[type[IntEnum], tuple[int, str]]] = {
    AccountChange: (3001, "Account Change"),
    Authentication: (3002, "Authentication"),
    EntityManagement: (3004, "Entity Management"),
    UserAccess: (3005, "User Access Management"),
    GroupManagement: (3006, "Group Management"),
    WebResources: (6001, "Web Resources Activity"),
    Api: (6003, "API Activity"),
    Datastore: (6005, "Datastore Activity"),
}
"""``class_uid`` and name of each class."""
