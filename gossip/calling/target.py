"""What may be called, as far as choosing needs to know it."""

from __future__ import annotations

from typing import Protocol, TypeAlias

__all__ = ["Key", "Target", "key_of"]

Key: TypeAlias = tuple[str, str, str, int]
"""Node, registration, address and port: an instance that has moved begins with a clean slate."""


class Target(Protocol):
    """One instance of a service; `client.Instance` is one."""

    @property
    def id(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def weight(self) -> int: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def status(self) -> str: ...
    @property
    def zone(self) -> str: ...


def key_of(target: Target) -> Key:
    """By what its record is found."""
    return target.node_id, target.id, target.address, target.port
