"""Durable storage: one interface, thin dialects behind it, chosen by URL alone.

`core` has the interface and the rule that no statement forgets the tenant; `sqlite` is the embedded dialect;
`migrations/` is the schema, forward only. Slices write SQL in their `store.py`, against `core.Tx`.
"""

from vedette.server.db.core import SYSTEM, Database, DeviceScope, Promise, Row, Scope, Tx, UserScope
from vedette.server.db.open import open_database

__all__ = ["SYSTEM", "Database", "DeviceScope", "Promise", "Row", "Scope", "Tx", "UserScope", "open_database"]
