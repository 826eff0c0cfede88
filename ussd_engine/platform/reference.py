"""The rows that the engine itself relies on, made at start when they are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import orjson
from sqlalchemy import select, update

from ussd_engine.errors import SettingsError
from ussd_engine.platform import audit
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import engine_facts, policies, role_policies, roles

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

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


def ensure_reference_data(
    connection: Connection, keys: KeyRing, rules: dict[str, Any], now: datetime
) -> None:
    """The role of every subscriber, and the policy that it carries, with these rules.

    Any number of processes may call this, again and again; only other rules than before change anything.
    """
    insert_if_absent(connection, roles, id=USSD_ROLE_ID, name=USSD_ROLE)
    insert_if_absent(connection, policies, id=USSD_POLICY_ID, name=USSD_POLICY)
    insert_if_absent(connection, role_policies, role_id=USSD_ROLE_ID, policy_id=USSD_POLICY_ID)
    mine = policies.c.id == USSD_POLICY_ID
    before = orjson.loads(
        connection.execute(select(policies.c.rules).where(mine).with_for_update()).scalar_one()
    )
    if before == rules:
        return
    connection.execute(update(policies).where(mine).values(rules=orjson.dumps(rules).decode()))
    entry = AuditEntry(
        actor="settings",
        action="policy.changed",
        entity="policies",
        entity_id=USSD_POLICY_ID,
        request_id="start",
        before=before,
        after=rules,
    )
    audit.append(connection, keys, [entry], now)
