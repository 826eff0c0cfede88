"""What the database itself refuses to do to a staged change, whoever asks. Triggers are spelt per database.

What was asked for stays as it was asked for, by whom it was asked. The version moves with the decision alone. Of a
decided change nothing moves any more, except that its end was told. None is ever deleted.
"""

from __future__ import annotations

from alembic import op

TABLE = "staged_changes"
ASKED = (
    "id",
    "operation_id",
    "kind",
    "entity",
    "entity_id",
    "base_version",
    "before_sealed",
    "after_sealed",
    "context_sealed",
    "maker",
    "maker_reason",
    "created_at",
)
DECIDED = ("version", "checker", "state", "reason", "decided_at", "expires_at")
REFUSED = "a staged change stays as it was asked for, and as it was decided"
KEPT = "a staged change is never deleted"


def guard_changes() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _on_postgresql()
    else:
        _on_sqlite()


def _forbidden(differs: str) -> str:
    """When an update is refused; `differs` is how the database compares what may be NULL."""
    asked = " OR ".join(f"NEW.{name} {differs} OLD.{name}" for name in ASKED)
    decided = " OR ".join(f"NEW.{name} {differs} OLD.{name}" for name in DECIDED)
    counted = "OLD.version + CASE WHEN NEW.state = 'pending' THEN 0 ELSE 1 END"
    over = f"OLD.state <> 'pending' AND ({decided})"
    return f"{asked} OR ({over}) OR (OLD.state = 'pending' AND NEW.version <> {counted})"


def _on_postgresql() -> None:
    # the error is of the class of a violated constraint, as that of a trigger of SQLite is
    for name, words in (("stays", REFUSED), ("is_kept", KEPT)):
        op.execute(
            f"CREATE OR REPLACE FUNCTION {TABLE}_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
    op.execute(
        f"CREATE TRIGGER {TABLE}_stays BEFORE UPDATE ON {TABLE} FOR EACH ROW "
        f"WHEN ({_forbidden('IS DISTINCT FROM')}) EXECUTE FUNCTION {TABLE}_stays()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_is_kept BEFORE DELETE OR TRUNCATE ON {TABLE} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_is_kept()"
    )


def _on_sqlite() -> None:
    op.execute(
        f"CREATE TRIGGER {TABLE}_stays BEFORE UPDATE ON {TABLE} "
        f"WHEN {_forbidden('IS NOT')} BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_is_kept BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
    )
