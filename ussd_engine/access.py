"""Who may do what: the roles of staff, the scopes that a route asks for, and who calls.

The words alone, without the database: commands, services and routes share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do. The first three are the JSON routes for programs, the others are for staff."""

    SUBSCRIPTION = "subscription"
    ACCOUNT = "account"
    TRANSLATIONS = "translations"
    VIEW = "view"
    MAKE = "make"
    CHECK = "check"
    ADMIN = "admin"


class Role(StrEnum):
    VIEWER = "viewer"
    MAKER = "maker"
    CHECKER = "checker"
    ADMIN = "admin"


SCOPES_OF: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.VIEW}),
    Role.MAKER: frozenset({Scope.VIEW, Scope.MAKE}),
    Role.CHECKER: frozenset({Scope.VIEW, Scope.CHECK}),
    Role.ADMIN: frozenset({Scope.VIEW, Scope.MAKE, Scope.CHECK, Scope.ADMIN}),
}
"""An admin may make and check, and still never checks what the same admin made: the database sees to that."""

CONFIGURED_KEY_SCOPES = frozenset({Scope.SUBSCRIPTION, Scope.ACCOUNT, Scope.TRANSLATIONS, Scope.VIEW})
"""Of `api.key`: the JSON routes, and to look. Nobody knows who holds it, so it neither makes nor checks a change."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: "operator:ann" by any of ann's keys, "key:NAME" for a program, "api" for the configured key.

    `name` is what stands in the audit log, and what tells a maker from a checker.
    """

    name: str
    scopes: frozenset[Scope]
