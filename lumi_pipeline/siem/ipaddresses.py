"""Which texts are IP addresses, as a regular expression that DuckDB knows (RE2, no back references).

IPv4 in four decimal numbers without leading zeros, IPv6 as RFC 4291 section 2.2 writes it, without a zone: what OCSF's
``ip_t`` takes too.
"""

from typing import Final

_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_GROUP: Final = "[0-9A-Fa-f]{1,4}"


def _compressed(before: int) -> str:
    """Addresses with ``::`` after so many groups; it stands for at least one."""
    left = f"(?:{_GROUP}:){{{before}}}:" if before else "::"
    right = f"(?:{_GROUP}(?::{_GROUP}){{0,{6 - before}}})?" if before < 7 else ""
    embedded = f"|(?:{_GROUP}:){{0,{5 - before}}}{_IPV4}" if before <= 5 else ""
    return f"{left}(?:{right}{embedded})"


IP_ADDRESS: Final = "|".join(
    [
        _IPV4,
        f"(?:{_GROUP}:){{7}}{_GROUP}",
        f"(?:{_GROUP}:){{6}}{_IPV4}",
        *(_compressed(before) for before in range(8)),
    ]
)
"""To be matched by the whole text."""

LONGEST: Final = 40
"""Characters of an address at most (OCSF's ``ip_t``, max_len); only unusual spellings of IPv4 in IPv6 have more."""
