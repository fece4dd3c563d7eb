"""The request after a write reads what was written: from the primary, or by a bookmark from any node that has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .bookmarks import carried, news
from .pinning import Pin, current

COOKIE = "clustersql_pin"
SECONDS = 10
"""How long the browser that has written reads from the primary, unless CLUSTERSQL_PIN_SECONDS says otherwise."""


class PinningMiddleware:
    """Tells `ReadRouter` of one request, in all its threads, and of the same browser's next ones by a cookie.

    Where CLUSTERSQL_BOOKMARK_COOKIE or CLUSTERSQL_BOOKMARK_HEADER names a cookie or a header, that carries a bookmark:
    the next requests read from any node that has seen it.  Else, and where no bookmark could be had, a cookie that
    holds nothing lets them read from the primary for CLUSTERSQL_PIN_SECONDS.  Nothing that a request brings is an
    error.  For threads and for asyncio.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        """Raises `ImproperlyConfigured` for a CLUSTERSQL_PIN_SECONDS that is no number of seconds, and for a name that
        is none.
        """
        self.get_response = get_response
        self.bookmarks = carried()
        self.seconds = getattr(settings, "CLUSTERSQL_PIN_SECONDS", SECONDS)
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int) or self.seconds <= 0:
            raise ImproperlyConfigured("CLUSTERSQL_PIN_SECONDS must be a whole number of seconds above 0")
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Answer the request."""
        pin = Pin(COOKIE in request.COOKIES, None if self.bookmarks is None else self.bookmarks.brought(request))
        current.set(pin)
        if iscoroutinefunction(self):
            return self._later(request, pin, self.get_response(request))
        return self._told(request, pin, self.get_response(request))

    async def _later(self, request: Any, pin: Pin, response: Awaitable[Any]) -> Any:
        answer = await response
        if pin.views:  # a bookmark is asked for, which waits
            return await sync_to_async(self._told)(request, pin, answer)
        return self._told(request, pin, answer)

    def _told(self, request: Any, pin: Pin, response: Any) -> Any:
        if self.bookmarks is not None:
            for alias, bookmark in news(pin):
                self.bookmarks.tell(request, response, alias, bookmark)
        if pin.written - pin.told:
            response.set_cookie(
                COOKIE, "1", max_age=self.seconds, secure=request.is_secure(), httponly=True, samesite="Lax"
            )
        return response
