"""What is for sale and who has it: products with their prices, benefits, subscriptions with their grants.

Each is a JSON object with an ``id``, kept as it is; times in it are whole microseconds since 1970.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from otel_polar.sandbox.database import Database

Item: TypeAlias = dict[str, Any]


class Shelf:
    """All items of one kind."""

    __slots__ = ("_database", "_kind")

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self._kind = kind

    def put(self, item: Item) -> Item:
        """Keep an item, in place of the one with the same id if there is one."""
        self._database.write(
            "INSERT INTO catalog (kind, id, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (self._kind, item["id"], json.dumps(item)),
        )
        return item

    def get(self, item_id: str) -> Item | None:
        """Return the item with this id."""
        rows = self._database.rows("SELECT body FROM catalog WHERE kind = ? AND id = ?", (self._kind, item_id))
        return json.loads(rows[0][0]) if rows else None

    def all(self) -> list[Item]:
        """Return every item in the order of creation."""
        rows = self._database.rows("SELECT body FROM catalog WHERE kind = ? ORDER BY sequence", (self._kind,))
        return [json.loads(row[0]) for row in rows]


class Catalog:
    """The shelves of one sandbox."""

    __slots__ = ("benefits", "products", "subscriptions")

    def __init__(self, database: Database) -> None:
        self.products = Shelf(database, "product")
        self.benefits = Shelf(database, "benefit")
        self.subscriptions = Shelf(database, "subscription")
