"""How bookmarks travel with Django's requests, so that the next one reads what was written on any node that has it.

Rules
-----
1. One bookmark for each alias that has a replica: they are of different clusters.
2. Whatever a request brings, it does not fail for it: what is no bookmark, or is lost, is a read of the primary and a
   new bookmark.
3. What a request has written and no bookmark tells of, is for the pin: the browser reads from the primary for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from ...errors import ConfigError
from ..carrying import ERRORS, MAX_AGE, Carrier, untold
from .pinning import Pin

COOKIE, HEADER = "CLUSTERSQL_BOOKMARK_COOKIE", "CLUSTERSQL_BOOKMARK_HEADER"
"""The settings: the name of the cookie, or of the header, that carries the bookmark of the alias "default"."""


@dataclass(frozen=True, slots=True)
class Bookmarks:
    """In what the bookmarks travel."""

    name: str
    """Of the cookie or header for the alias "default"; another alias's has it behind a hyphen."""
    header: bool
    """Whether it is a header."""

    def named(self, alias: str) -> str:
        """Return the name of the cookie or header that carries the bookmark of an alias."""
        return self.name if alias == DEFAULT_DB_ALIAS else f"{self.name}-{alias}"

    def brought(self, request: Any) -> Callable[[str], str]:
        """Return what tells the bookmark that ``request`` has brought for an alias; "": it has none."""
        found = request.headers if self.header else request.COOKIES
        return lambda alias: str(found.get(self.named(alias), "")).strip()

    def tell(self, request: Any, response: Any, alias: str, bookmark: str) -> None:
        """Let ``response`` carry the bookmark of an alias."""
        if self.header:
            response[self.named(alias)] = bookmark
        else:
            attributes = {"secure": request.is_secure(), "httponly": True, "samesite": "Lax"}
            response.set_cookie(self.named(alias), bookmark, max_age=MAX_AGE, **attributes)


def carried() -> Bookmarks | None:
    """Return in what bookmarks travel by the settings; None: they do not.  Raises `ImproperlyConfigured`."""
    cookie, header = getattr(settings, COOKIE, None), getattr(settings, HEADER, None)
    if cookie is None and header is None:
        return None
    if cookie is not None and header is not None:
        raise ImproperlyConfigured(f"{COOKIE} and {HEADER} together: a bookmark travels in one of them")
    try:
        carrier = Carrier.of(cookie or "", header, MAX_AGE)
    except ConfigError as exc:
        raise ImproperlyConfigured(f"{COOKIE if header is None else HEADER}: {exc}") from None
    return Bookmarks(carrier.name, carrier.header)


def news(pin: Pin) -> Iterator[tuple[str, str]]:
    """Yield the aliases of which a request has come to know something new, each with its bookmark.

    Where that could not be had the alias stays among those that are written, for the pin.  The primary is asked where
    something was written or, by whoever has brought a bookmark, read there.
    """
    for alias, view in tuple(pin.views.items()):
        before = pin.brought(alias)
        if not before and alias not in pin.written:
            continue
        try:
            bookmark = view.bookmark
        except ERRORS as exc:
            untold(exc)
            continue
        if alias in pin.remembered:
            pin.told.add(alias)
        if bookmark not in ("", before):
            yield alias, bookmark
