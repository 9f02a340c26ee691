"""The columns of OCSF events in Parquet: what the format ``ocsf`` writes (ocsf.py), typed, for each class.

Names and types are those of OCSF 1.8.0; numbers of enumerations are 32 bits wide, times milliseconds in 64.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

_TEXT: Final = pa.string()
_USER: Final = pa.struct([("type", _TEXT), ("type_id", pa.int32()), ("uid", _TEXT), ("name", _TEXT)])
_NAMED: Final = pa.struct([("name", _TEXT)])
_TYPED: Final = pa.struct([("uid", _TEXT), ("type", _TEXT)])

_METADATA: Final = pa.struct(
    [
        ("event_code", _TEXT),
        ("product", pa.struct([("name", _TEXT), ("vendor_name", _TEXT)])),
        ("profiles", pa.list_(_TEXT)),
        ("version", _TEXT),
        ("uid", _TEXT),
        ("tenant_uid", _TEXT),
        ("sequence", pa.int64()),
        ("original_time", _TEXT),
        ("logged_time", pa.int64()),
        ("is_truncated", pa.bool_()),
    ]
)
_COMMON: Final[Mapping[str, pa.DataType]] = {
    "activity_id": pa.int32(),
    "activity_name": _TEXT,
    "category_name": _TEXT,
    "category_uid": pa.int32(),
    "class_name": _TEXT,
    "class_uid": pa.int32(),
    "severity": _TEXT,
    "severity_id": pa.int32(),
    "type_name": _TEXT,
    "type_uid": pa.int64(),
    "metadata": _METADATA,
    "time": pa.int64(),
    "status": _TEXT,
    "status_id": pa.int32(),
    "actor": pa.struct([("user", _USER)]),
    "http_request": pa.struct([("uid", _TEXT), ("user_agent", _TEXT)]),
    "src_endpoint": pa.struct([("ip", _TEXT), ("name", _TEXT)]),
}
_UNMAPPED: Final = pa.struct(
    [
        ("batch_id", _TEXT),
        ("entity_type", _TEXT),
        ("entity_id", _TEXT),
        ("recorded_at", _TEXT),
        ("prev_hash", _TEXT),
        ("integrity_hash", _TEXT),
        ("payload_hash", _TEXT),
        ("payload_salt", _TEXT),
        ("auth_method", _TEXT),
        ("before_state", _TEXT),
        ("after_state", _TEXT),
        ("omitted", pa.list_(_TEXT)),
        ("ip", _TEXT),
    ]
)
_OF_CLASS: Final[Mapping[int, Mapping[str, pa.DataType]]] = {
    3001: {"user": _USER},
    3002: {
        "service": _NAMED,
        "user": _USER,
        "session": pa.struct([("uid", _TEXT)]),
        "auth_protocol": _TEXT,
        "auth_protocol_id": pa.int32(),
    },
    3004: {"entity": _TYPED},
    3005: {"privileges": pa.list_(_TEXT), "user": _USER, "resources": pa.list_(_TYPED)},
    3006: {"group": _TYPED},
    6001: {"web_resources": pa.list_(_TYPED)},
    6003: {"api": pa.struct([("operation", _TEXT), ("service", _NAMED)]), "resources": pa.list_(_TYPED)},
    6005: {"table": _NAMED},
}

OCSF_COLUMNS: Final[Mapping[int, pa.Schema]] = {
    class_uid: pa.schema(list({**_COMMON, **own, "unmapped": _UNMAPPED}.items()))
    for class_uid, own in _OF_CLASS.items()
}
"""By ``class_uid``."""
