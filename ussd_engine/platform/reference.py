"""The rows that the engine itself relies on, made at start when they are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import select

from ussd_engine.errors import SettingsError
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import engine_facts, policies, role_policies, roles

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.sealing import KeyRing

USSD_ROLE = "USSD Role"
USSD_POLICY = "USSD Customers"
USSD_ROLE_ID = str(uuid5(NAMESPACE_URL, "ussd-engine:role:ussd"))
USSD_POLICY_ID = str(uuid5(NAMESPACE_URL, "ussd-engine:policy:ussd-customers"))


def check_key_ring(connection: Connection, keys: KeyRing) -> None:
    """Raise SettingsError when the database was written under another key ring.

    A new one would find no operation, open no sealed value, and let every idempotency key begin anew.
    """
    mark = keys.digest("key-ring")
    insert_if_absent(connection, engine_facts, name="key_ring", value=mark)
    stored = connection.execute(select(engine_facts.c.value).where(engine_facts.c.name == "key_ring"))
    if stored.scalar_one() != mark:
        raise SettingsError(
            "the platform's database was written under another key ring than that of keys.file: "
            "bring the file back that belongs to it (data_dir/keys.json by default)"
        )


async def ensure_reference_data(database: Database) -> None:
    """The role of every subscriber, and the policy that it carries. Any number of processes may call this."""
    if not await database.read(_is_ready):
        await database.write(_add)


def _is_ready(connection: Connection) -> bool:
    wanted = select(role_policies).where(role_policies.c.role_id == USSD_ROLE_ID)
    return connection.execute(wanted).first() is not None


def _add(connection: Connection) -> None:
    insert_if_absent(connection, roles, id=USSD_ROLE_ID, name=USSD_ROLE)
    insert_if_absent(connection, policies, id=USSD_POLICY_ID, name=USSD_POLICY)
    insert_if_absent(connection, role_policies, role_id=USSD_ROLE_ID, policy_id=USSD_POLICY_ID)
