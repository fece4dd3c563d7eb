"""Causal reads for web programs of asyncio (Starlette, FastAPI, Django, Quart, ...): one line.

app = CausalMiddleware(app, clustersql.aio.open("shop"))

async def view(request):
    db = causal(request.scope)                                   # remembers what this browser has written
    await db.execute("INSERT ...")
    rows = await db.options(read_only=True).execute("SELECT ...")   # any node that has it, in the next request too
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..aio.database import Database
from ..errors import ConfigError
from .carrying import COOKIE, ERRORS, KEY, MAX_AGE, Carrier, untold
from .following import following

__all__ = ["CausalMiddleware", "causal"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CausalMiddleware:
    """Give each request a view of ``db`` that has seen what the same browser, or caller, has written and read before.

    Engines of SQLAlchemy's over the same cluster take part in it.

    Args:
        app: the ASGI program around which this stands.
        db: what `clustersql.aio.open` has returned.
        cookie: the name of the cookie that carries the bookmark.
        header: the name of a header, of requests and answers, that carries it in place of a cookie: between services.
        max_age: seconds for which a browser keeps the cookie.

    Raises `ConfigError` for a name that is none.
    """

    def __init__(
        self, app: App, db: Database, *, cookie: str = COOKIE, header: str | None = None, max_age: int = MAX_AGE
    ) -> None:
        self.app = app
        self.db = db
        self.carrier = Carrier.of(cookie, header, max_age)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one connection of a websocket, whose answer carries no bookmark."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        before = self._found(scope)
        view = self.db.causal(before, strict=False)

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start" and (after := await _bookmark(view, before)):
                name, value = self.carrier.told(after, scope.get("scheme") == "https")
                message = {**message, "headers": [*message.get("headers", ()), (name.lower().encode(), value.encode())]}
            await send(message)

        with following(view):
            await self.app({**scope, KEY: view}, receive, answer)

    def _found(self, scope: Scope) -> str:
        told: dict[str, list[str]] = {}
        for name, value in scope.get("headers", ()):
            told.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return self.carrier.found("; ".join(told.get("cookie", ())), "".join(told.get(self.carrier.name.lower(), ())))


async def _bookmark(view: Database, before: str) -> str:
    """Return what is to be told; "": nothing new."""
    try:
        after = await view.bookmark
    except ERRORS as exc:
        untold(exc)
        return ""
    return after if after != before else ""


def causal(scope: Scope) -> Database:
    """Return the view of the request with this scope (``request.scope``).  Raises `ConfigError` without the
    middleware.
    """
    if (view := scope.get(KEY)) is None:
        raise ConfigError(
            "this request has no view: put clustersql.integrations.asgi.CausalMiddleware around the program"
        )
    return view  # type: ignore[no-any-return]
