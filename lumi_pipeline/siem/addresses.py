"""Which addresses a destination may have: nobody who names one is to reach what only this machine can reach."""

import ipaddress
import socket
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")


def is_public(address: Address) -> bool:
    """Whether an address is one of the open Internet: not loopback, link-local, private, multicast or reserved.

    An IPv6 address that only carries an IPv4 address to a translator counts as what it carries (RFC 4291 section
    2.5.5.2, RFC 6052 section 2.1, RFC 3056 section 2).
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address in _LOCAL_NAT64 or address.is_site_local:
            return False
        if address.sixtofour is not None and not is_public(address.sixtofour):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host in the order to try them; OSError or UnicodeError if it has none.

    How long this takes is up to the system's resolver, which gives up by itself.
    """
    return [_address(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def literal(host: str) -> list[Address]:
    """Return the address that a host's name is in itself, in any notation the system takes; asks no name server."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [_address(entry[4][0]) for entry in found]


def _address(text: object) -> Address:
    # A zone (fe80::1%eth0) only says by which interface a link-local address is reached.
    return ipaddress.ip_address(str(text).partition("%")[0])
