"""Requests too large for a datagram go over TCP first (RFC 3261 §18.1.1).

A fragmented datagram is lost as soon as one fragment is, and many firewalls lose all
of them. Where nobody takes TCP, the request goes by UDP after all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emulator.sip.address import Target
from emulator.sip.effects import TransactionId
from emulator.sip.message import Request
from emulator.sip.transactions import client_id

# Peers known to refuse TCP; a configuration names a handful.
MAX_REFUSERS: Final = 256


class OversizeRequests:
    """Which requests were moved to TCP, and what they were before.

    Args:
        limit_bytes: Larger requests are moved.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._moved: dict[TransactionId, tuple[Request, Target]] = {}
        self._refusers: set[tuple[str, int]] = set()

    def place(self, request: Request, target: Target) -> tuple[Request, Target]:
        """Return the request and where it really goes."""
        branch = request.via.branch or ""
        if request.method == "CANCEL":
            # It follows its INVITE (RFC 3261 §9.1).
            is_moved = client_id(branch, "INVITE") in self._moved
            return _over_tcp(request, target) if is_moved else (request, target)
        if not self._must_move(request, target):
            return request, target
        self._moved[client_id(branch, request.method)] = (request, target)
        return _over_tcp(request, target)

    def take_back(self, key: TransactionId) -> tuple[Request, Target] | None:
        """Return what a transaction whose TCP failed was by UDP, or None."""
        moved = self._moved.pop(key, None)
        if moved is None:
            return None
        if len(self._refusers) >= MAX_REFUSERS:
            self._refusers.clear()
        self._refusers.add((moved[1].host, moved[1].port))
        return moved

    def forget(self, key: TransactionId) -> None:
        """The transaction is over."""
        self._moved.pop(key, None)

    def _must_move(self, request: Request, target: Target) -> bool:
        """Leave alone whoever asked for UDP, and phones behind a translator."""
        if target.transport != "udp" or not request.body:
            return False
        uri = request.sip_uri
        is_open = "transport" not in uri.params and uri.host == target.host
        return (
            is_open
            and (target.host, target.port) not in self._refusers
            and len(request.to_bytes()) > self._limit_bytes
        )


def _over_tcp(request: Request, target: Target) -> tuple[Request, Target]:
    """Change the transport in the topmost Via, which is the only one: ours."""
    via = str(replace(request.via, transport="TCP"))
    headers = request.headers.replaced("Via", via)
    moved = Request(request.method, request.uri, headers, request.body)
    return moved, replace(target, transport="tcp")
