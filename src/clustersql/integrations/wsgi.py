"""Causal reads for web programs of threads (Flask, Django, Pyramid, Bottle, ...): one line.

app.wsgi_app = CausalMiddleware(app.wsgi_app, clustersql.open("shop"))

def view():
    db = causal(request.environ)                            # remembers what this browser has written
    db.execute("INSERT ...")
    rows = db.options(read_only=True).execute("SELECT ...")   # any node that has it, in the next request too
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ConfigError
from ..sync.database import Database
from .carrying import COOKIE, ERRORS, KEY, MAX_AGE, Carrier, untold
from .following import following

__all__ = ["CausalMiddleware", "causal"]

COOKIES = "HTTP_COOKIE"
"""Where the cookies of a request stand (PEP 3333)."""

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class CausalMiddleware:
    """Give each request a view of ``db`` that has seen what the same browser, or caller, has written and read before.

    The bookmark is told when the program begins its answer: what it writes afterwards, in a body that is made bit by
    bit, is not in it.

    Engines of SQLAlchemy's and databases of Peewee's over the same cluster take part in it.

    Args:
        app: the WSGI program around which this stands.
        db: what `clustersql.open` has returned.
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

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        header = environ.get(f"HTTP_{self.carrier.name.upper().replace('-', '_')}", "")
        before = self.carrier.found(environ.get(COOKIES, ""), header)
        view = environ[KEY] = self.db.causal(before, strict=False)

        def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if after := _bookmark(view, before):
                headers = [*headers, self.carrier.told(after, environ.get("wsgi.url_scheme") == "https")]
            return start_response(status, headers, *rest)

        with following(view):
            return self.app(environ, answer)


def _bookmark(view: Database, before: str) -> str:
    """Return what is to be told; "": nothing new."""
    try:
        after = view.bookmark
    except ERRORS as exc:
        untold(exc)
        return ""
    return after if after != before else ""


def causal(environ: Environ) -> Database:
    """Return the view of the request with this environment (``request.environ``).  Raises `ConfigError` without the
    middleware.
    """
    if (view := environ.get(KEY)) is None:
        raise ConfigError(
            "this request has no view: put clustersql.integrations.wsgi.CausalMiddleware around the program"
        )
    return view  # type: ignore[no-any-return]
