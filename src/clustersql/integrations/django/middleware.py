"""The request after a write reads from the primary too: a redirect after POST shows what was posted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .pinning import Pin, current

COOKIE = "clustersql_pin"
SECONDS = 10
"""How long the browser that has written reads from the primary, unless CLUSTERSQL_PIN_SECONDS says otherwise."""


class PinningMiddleware:
    """Tells `ReadRouter` of one request, in all its threads, and of the same browser's next ones by a cookie.

    The cookie is set only in an answer to a request that has written, and holds nothing but that.  For threads and for
    asyncio.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        """Raises `ImproperlyConfigured` for a CLUSTERSQL_PIN_SECONDS that is no number of seconds."""
        self.get_response = get_response
        self.seconds = getattr(settings, "CLUSTERSQL_PIN_SECONDS", SECONDS)
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int) or self.seconds <= 0:
            raise ImproperlyConfigured("CLUSTERSQL_PIN_SECONDS must be a whole number of seconds above 0")
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Answer the request."""
        pin = Pin(COOKIE in request.COOKIES)
        current.set(pin)
        if iscoroutinefunction(self):
            return self._later(request, pin, self.get_response(request))
        return self._pinned(request, pin, self.get_response(request))

    async def _later(self, request: Any, pin: Pin, response: Awaitable[Any]) -> Any:
        return self._pinned(request, pin, await response)

    def _pinned(self, request: Any, pin: Pin, response: Any) -> Any:
        if pin.is_written:
            response.set_cookie(
                COOKIE, "1", max_age=self.seconds, secure=request.is_secure(), httponly=True, samesite="Lax"
            )
        return response
