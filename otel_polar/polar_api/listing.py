"""Every item of one of Polar's lists, page by page.

Pages are numbered, so an item that is created or removed meanwhile moves the others: one may be told twice or, after a
removal, not at all. Who must not miss any asks for what no longer changes, or asks again.
Source: polarsource/polar, server/polar/kit/pagination.py (at most 100 a page).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_polar.polar_api import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.polar_api.client import Parameters, PolarApi

PAGE_ITEMS: Final = 100


def iterate(api: PolarApi, path: str, parameters: Parameters | None = None) -> Iterator[dict[str, Any]]:
    """Every item of the list at *path*, in Polar's order.

    Raises:
        PolarError: if a page cannot be had.
    """
    page, last_page = 1, 1
    while page <= last_page:
        answer = api.get(path, {**(parameters or {}), "page": page, "limit": PAGE_ITEMS})
        found = fields.mappings(answer, "items")
        yield from found
        # Of a page without items there is no next one, whatever the answer says.
        last_page = fields.whole(answer, "pagination.max_page") if found else page
        page += 1
