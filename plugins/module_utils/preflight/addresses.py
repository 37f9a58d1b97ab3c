"""How checks judge addresses. Controller only."""

from __future__ import annotations

import ipaddress


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def address_fault(text: str) -> str:
    """Why an address is neither loopback nor private; empty if it is."""
    try:
        address = ipaddress.ip_address(text.removeprefix("-").replace("*", "0.0.0.0"))
    except ValueError:
        return "is not an IP address"
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified:  # the ipaddress module counts it as private
        return "is every address of the host, the public ones too"
    shared = ipaddress.ip_network("100.64.0.0/10")  # used by carriers and VPNs, not routed on the internet
    if address.is_private or (address.version == 4 and address in shared):
        return ""
    return "is a public address"
