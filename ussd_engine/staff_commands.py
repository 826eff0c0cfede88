"""`ussd operator` and `ussd key`: who may call the API. Every change stands in the audit log with who made it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Concatenate, ParamSpec, TypeVar

import typer

from ussd_engine.access import Role, Scope
from ussd_engine.console import Config, Console, table, with_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from ussd_engine.platform.staff import Act, ApiKey, Operator
    from ussd_engine.sealing import KeyRing

T = TypeVar("T")
P = ParamSpec("P")

operator = typer.Typer(name="operator", help="The bank's staff, each with a role.", no_args_is_help=True)
key = typer.Typer(name="key", help="Keys of operators and of programs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Begins with a letter; a-z, 0-9, '.', '_' and '-'.")]


@operator.command("add")
def add_operator(
    name: Name, role: Annotated[Role, typer.Option(help="What the operator may do.")], config: Config = None
) -> None:
    """Add an operator, with a key of the same name.

    The key is printed to the standard output, this once: only its digest is kept.

    A viewer looks, a maker asks for changes, a checker decides on them.
    An admin may do all of it, and never decides on a change of their own.
    """
    from ussd_engine.platform import staff  # noqa: PLC0415 - see cli.py

    _show_once(_change("operator add", config, staff.add_operator, name, role), f"operator '{name}', {role}")


@operator.command("list")
def list_operators(config: Config = None) -> None:
    """Show all operators, those who are disabled too."""
    from ussd_engine.platform import staff  # noqa: PLC0415 - see cli.py

    found = with_console("operator list", config, lambda console: console.database.read(staff.list_operators))
    if not found:
        typer.echo("No operators yet: ussd operator add NAME --role ROLE")
        return
    rows = [(each.name, each.role.value, _day(each.created_at), _operator_state(each)) for each in found]
    typer.echo(table(("NAME", "ROLE", "ADDED", "STATE"), rows))


@operator.command("disable")
def disable_operator(name: Name, config: Config = None) -> None:
    """Disable an operator: from now on none of their keys opens anything."""
    from ussd_engine.platform import staff  # noqa: PLC0415 - see cli.py

    _change("operator disable", config, staff.disable_operator, name)
    typer.echo(f"Operator '{name}' is disabled.")


@key.command("add")
def add_key(
    name: Name,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="For a program: what the key opens; give it again for more.")
    ] = None,
    of_operator: Annotated[
        str | None,
        typer.Option("--operator", metavar="NAME", help="For an operator, whose role says what it opens."),
    ] = None,
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="The key opens nothing after so many days.")
    ] = None,
    config: Config = None,
) -> None:
    """Add a key, for a program (--scope) or a further one for an operator (--operator).

    The key is printed to the standard output, this once: only its digest is kept.
    """
    from ussd_engine.platform import staff  # noqa: PLC0415 - see cli.py

    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    if of_operator and not scope:
        made = _change("key add", config, staff.add_operator_key, name, of_operator, expires_at)
    elif scope and not of_operator:
        made = _change("key add", config, staff.add_program_key, name, scope, expires_at)
    else:
        raise typer.BadParameter("give either --scope, for a program, or --operator")
    until = f", until {_day(expires_at)}" if expires_at else ""
    _show_once(made, f"key '{name}'{until}")


@key.command("list")
def list_keys(config: Config = None) -> None:
    """Show all keys with what they open; the keys themselves are not kept."""
    from ussd_engine.platform import staff  # noqa: PLC0415 - see cli.py

    found = with_console("key list", config, lambda console: console.database.read(staff.list_keys))
    if not found:
        typer.echo("No keys yet: ussd key add NAME --scope SCOPE")
        return
    now = datetime.now(UTC)
    rows = [
        (
            each.name,
            each.operator.name if each.operator else "-",
            ",".join(scope for scope in Scope if scope in each.scopes),
            _day(each.created_at),
            _day(each.expires_at) if each.expires_at else "never",
            _key_state(each, now),
        )
        for each in found
    ]
    typer.echo(table(("NAME", "OPERATOR", "SCOPES", "ADDED", "EXPIRES", "STATE"), rows))


@key.command("revoke")
def revoke_key(name: Name, config: Config = None) -> None:
    """Revoke a key: from now on it opens nothing."""
    from ussd_engine.platform import staff  # noqa: PLC0415 - see cli.py

    _change("key revoke", config, staff.revoke_key, name)
    typer.echo(f"Key '{name}' is revoked.")


def _change(
    command: str,
    config: Path | None,
    change: Callable[Concatenate[Connection, KeyRing, Act, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    from ussd_engine.platform.staff import Act  # noqa: PLC0415 - see cli.py

    async def work(console: Console) -> T:
        act = Act(console.actor, console.request_id, datetime.now(UTC))
        return await console.database.write(
            lambda connection: change(connection, console.keys, act, *args, **kwargs)
        )

    return with_console(command, config, work)


def _show_once(made: str, whose: str) -> None:
    typer.echo(f"Added {whose}. This is the key; it is not shown again:", err=True)
    typer.echo(made)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _operator_state(each: Operator) -> str:
    return f"disabled {_day(each.disabled_at)}" if each.disabled_at else "active"


def _key_state(each: ApiKey, now: datetime) -> str:
    if each.revoked_at:
        return f"revoked {_day(each.revoked_at)}"
    if each.operator and each.operator.disabled_at:
        return "operator disabled"
    return "expired" if each.expires_at and each.expires_at <= now else "active"
