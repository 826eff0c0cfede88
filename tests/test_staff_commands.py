"""`ussd operator`, `ussd key` and `ussd audit`, as a person at the machine uses them."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from tests.database_fixtures import KINDS, urls_of
from ussd_engine.cli import app
from ussd_engine.console import actor

KEY = re.compile(r"ussd_[A-Za-z0-9_-]{43}\n")


@dataclass(frozen=True)
class Machine:
    """A machine of its own. `url` is that of its database, None for the embedded one."""

    data_dir: Path
    url: str | None = None

    def ussd(self, *arguments: str) -> Result:
        own = {name: None for name in os.environ if name.upper().startswith("USSD__")}
        settings = {"USSD__DATA_DIR": str(self.data_dir), "COLUMNS": "80", "TERM": "dumb"}
        if self.url is not None:
            settings["USSD__DATABASE__URL"] = self.url
        return CliRunner().invoke(app, list(arguments), env={**own, **settings}, prog_name="ussd")

    def does(self, *arguments: str) -> str:
        """What a command prints that has to go well."""
        run = self.ussd(*arguments)
        assert run.exit_code == 0, run.output
        return run.stdout

    def tamper(self, *statements: str) -> None:
        """What somebody does who has the database and not the keys."""
        if self.url is not None:
            with psycopg.connect(self.url.replace("+asyncpg", "")) as outside:
                outside.execute("DROP TRIGGER audit_log_append_only ON audit_log")
                for statement in statements:
                    outside.execute(statement.encode())
            return
        with closing(sqlite3.connect(self.data_dir / "platform.sqlite")) as connection, connection:
            connection.execute("DROP TRIGGER audit_log_no_update")
            for statement in statements:
                connection.execute(statement)

    def dump(self) -> str:
        """All that is in the tables of staff."""
        if self.url is not None:
            with psycopg.connect(self.url.replace("+asyncpg", "")) as outside:
                tables = ("operators", "api_keys", "audit_log", "audit_head")
                return "\n".join(
                    repr(outside.execute(f"SELECT * FROM {name}".encode()).fetchall()) for name in tables
                )
        with closing(sqlite3.connect(self.data_dir / "platform.sqlite")) as connection:
            return "\n".join(connection.iterdump())


@pytest.fixture
def _umask() -> Iterator[None]:
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest, tmp_path: Path, _umask: None) -> Machine:
    if request.param == "sqlite":
        return Machine(tmp_path / "var")
    return Machine(tmp_path / "var", urls_of(request.param, tmp_path, request).platform)


@pytest.fixture
def embedded(tmp_path: Path, _umask: None) -> Machine:
    """For what a person can only do to a file."""
    return Machine(tmp_path / "var")


# --- operators and keys -----------------------------------------------------------------------------------


def test_a_new_operators_key_is_printed_once(machine: Machine) -> None:
    """Alone on the standard output, for a pipe; afterwards nothing on the machine holds it."""
    run = machine.ussd("operator", "add", "ann", "--role", "checker")

    assert run.exit_code == 0
    assert KEY.fullmatch(run.stdout)
    assert "not shown again" in run.stderr
    key = run.stdout.strip()
    later = (
        machine.does("operator", "list")
        + machine.does("key", "list")
        + machine.does("audit", "show", "--open")
    )
    assert key not in machine.dump() + later


def test_lists_tell_what_is_and_what_was(machine: Machine) -> None:
    """Who, in which role, with which keys, until when; the disabled, the revoked and the expired stay listed."""
    assert "ussd operator add" in machine.does("operator", "list")
    assert "ussd key add" in machine.does("key", "list")
    machine.does("operator", "add", "ann", "--role", "maker")
    machine.does("key", "add", "core", "--scope", "view", "--scope", "account", "--expires-days", "30")
    machine.does("key", "add", "old", "--scope", "view")
    machine.does("key", "revoke", "old")
    machine.does("operator", "disable", "ann")

    assert rows(machine.does("operator", "list")) == [["ann", "maker", "disabled"]]
    assert rows(machine.does("key", "list")) == [
        ["ann", "ann", "view,make", "operator disabled"],
        ["core", "-", "account,view", "active"],
        ["old", "-", "view", "revoked"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("operator", "add", "ann", "--role", "maker"), "an operator 'ann' already"),
        (("operator", "disable", "anm"), "there is no operator 'anm'; did you mean 'ann'?"),
        (("key", "revoke", "anm"), "there is no key 'anm'; did you mean 'ann'?"),
        (("key", "add", "b", "--operator", "bob"), "there is no operator 'bob'; known: ann"),
        (("key", "add", "Bob Sample", "--scope", "view"), "begins with a letter"),
        (("key", "add", "b"), "either --scope, for a program, or --operator"),
        (("key", "add", "b", "--scope", "view", "--operator", "ann"), "either --scope"),
        (("audit", "verify", "--expect", "7"), "SEQ:HASH"),
    ],
)
def test_what_cannot_be_done_is_told(machine: Machine, arguments: tuple[str, ...], message: str) -> None:
    """With what to do instead, exit status 2, and nothing changed."""
    machine.does("operator", "add", "ann", "--role", "checker")

    run = machine.ussd(*arguments)

    assert run.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", run.stderr)
    assert "2 entries" in machine.does("audit", "verify")


def test_a_database_that_does_not_answer_is_told(embedded: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which setting to look at, without the address, which may hold a password."""
    monkeypatch.setattr("ussd_engine.platform.database.BUSY_TIMEOUT_MS", 1)
    embedded.does("audit", "verify")
    (embedded.data_dir / "platform.sqlite").write_bytes(b"no database at all" * 100)

    run = embedded.ussd("key", "list")

    assert run.exit_code == 2
    assert "look at database.url" in run.stderr
    assert "sqlite" not in run.stderr


# --- the audit log ----------------------------------------------------------------------------------------


def test_what_is_done_at_the_console_is_logged_with_the_user_of_the_system(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the process itself, whatever the variables of the shell say."""
    for variable in ("USER", "LOGNAME"):
        monkeypatch.setenv(variable, "eve")
    machine.does("operator", "add", "ann", "--role", "checker")

    shown = machine.does("audit", "show")

    assert [line.split()[3:5] for line in shown.splitlines()[1:]] == [
        [actor(), "operator.added"],
        [actor(), "key.added"],
    ]
    assert "eve" not in shown


def test_the_head_of_a_whole_log_is_printed_to_be_kept(machine: Machine) -> None:
    """It is taken back by --expect, now and when the log has grown."""
    machine.does("operator", "add", "ann", "--role", "checker")
    said = machine.does("audit", "verify")
    found = re.search(r"^head (2:[0-9a-f]{32})$", said, re.MULTILINE)
    assert found

    machine.does("operator", "disable", "ann")

    assert "3 entries" in machine.does("audit", "verify", "--expect", found[1])


def test_findings_are_printed_and_exit_with_1(machine: Machine) -> None:
    """The entry is named with what it tells; no head is offered, as it stands for nothing."""
    machine.does("operator", "add", "ann", "--role", "checker")
    machine.tamper("UPDATE audit_log SET actor = 'e\u001b[2Jve' WHERE seq = 1")

    run = machine.ussd("audit", "verify")

    assert run.exit_code == 1
    assert re.search(
        r"^entry 1 \(id .* e\?\[2Jve operator.added operators .*\) was changed$", run.stdout, re.MULTILINE
    )
    assert run.stdout.endswith("1 finding.\n")
    assert "head" not in run.stdout


def test_a_log_put_back_to_an_earlier_day_is_found(embedded: Machine) -> None:
    """An old file of the database is whole in itself; the head that was kept elsewhere tells."""
    embedded.does("operator", "add", "ann", "--role", "checker")
    embedded.does("audit", "verify")
    old = (embedded.data_dir / "platform.sqlite").read_bytes()
    embedded.does("operator", "disable", "ann")
    head = embedded.does("audit", "verify").split()[-1]
    (embedded.data_dir / "platform.sqlite").write_bytes(old)
    embedded.does("audit", "verify")

    run = embedded.ussd("audit", "verify", "--expect", head)

    assert run.exit_code == 1
    assert "entry 3 is missing: the head that was noted is entry 3" in run.stdout


def test_values_are_shown_when_asked_for_and_that_is_logged(machine: Machine) -> None:
    """Before and after may be personal: who opens them leaves a trace, who does not sees none of them."""
    assert machine.does("audit", "show") == "No entries.\n"
    machine.does("operator", "add", "ann", "--role", "checker")

    assert "checker" not in machine.does("audit", "show")
    assert '    after {"name":"ann","role":"checker"}' in machine.does("audit", "show", "--open")

    last = machine.does("audit", "show", "--last", "1").splitlines()[-1]
    assert last.split()[3:7] == [actor(), "audit.opened", "audit_log", "all"]


def test_the_entries_of_one_record_can_be_asked_for(machine: Machine) -> None:
    """By its id, as the log and the API show it."""
    machine.does("operator", "add", "ann", "--role", "checker")
    machine.does("operator", "add", "bob", "--role", "maker")
    id_of_ann = machine.does("audit", "show").splitlines()[1].split()[6]

    shown = machine.does("audit", "show", "--entity", id_of_ann)

    assert len(shown.splitlines()) == 2
    assert id_of_ann in shown


def test_a_value_that_does_not_open_is_told_beside_the_others(machine: Machine) -> None:
    """One that was changed is no reason to hide the rest."""
    machine.does("operator", "add", "ann", "--role", "checker")
    machine.tamper("UPDATE audit_log SET after_sealed = 'k1.AAAA' WHERE seq = 1")

    shown = machine.does("audit", "show", "--open")

    assert "sealed data does not open" in shown
    assert '    after {"name":"ann","operator":"ann"' in shown


@pytest.mark.parametrize(
    "command",
    [
        *("operator", "operator add", "operator list", "operator disable"),
        *("key", "key add", "key list", "key revoke"),
        *("audit", "audit verify", "audit show"),
    ],
)
def test_every_command_explains_itself(machine: Machine, command: str) -> None:
    """`--help` shows how the command is used, and makes nothing."""
    shown = machine.does(*command.split(), "--help")

    assert f"Usage: ussd {command} [OPTIONS]" in shown
    assert not machine.data_dir.exists()


def rows(listed: str) -> list[list[str]]:
    """The cells of a list without its head and its dates."""
    cells = [re.split(r" {2,}", line) for line in listed.splitlines()[1:]]
    date = re.compile(r"\d{4}-\d\d-\d\d|never")
    return [[re.sub(r" \d{4}.*", "", cell) for cell in line if not date.fullmatch(cell)] for line in cells]
