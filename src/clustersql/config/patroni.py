"""Where Patroni is asked: the knob ``patroni``, a list of URLs, or a text with commas between them.

1. A URL is ``http://host:8008`` or ``https://user:password@host:8008?cafile=...&certfile=...&keyfile=...``; the files
   are those that Patroni's own clients take, and are read at every question, so that they can be replaced on disk.
2. A place is a text without its password, so that nothing which shows it shows that.
3. No mistake shows any part of a URL behind its scheme, for where it is malformed its password may be anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .address import Template, redacted

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["PORT", "Place", "Target", "places", "wrong_places"]

PORT = 8008
"""Where Patroni listens by default."""
FILES = ("cafile", "certfile", "keyfile")
"""What may follow the ``?`` of an ``https`` URL, named as in Patroni's own ``restapi`` section."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place at the moment of a question, its variables replaced."""

    host: str
    """A name or an address."""
    port: int
    """Its port."""
    tls: bool
    """Whether it is asked through TLS, its certificate verified."""
    login: tuple[str, str] | None = field(repr=False)
    """User and password; None: it is asked without."""
    files: Mapping[str, str]
    """The paths of the files for TLS that were given, by their names in `FILES`."""


class Place(str):
    """A URL at which Patroni is asked, shown without its password."""

    __slots__ = ("_url",)
    _url: str

    def __new__(cls, url: str) -> Place:
        """Return the place of a URL that was checked by `wrong_places`."""
        place = super().__new__(cls, redacted(url))
        place._url = url
        return place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._url == other._url

    def __ne__(self, other: object) -> bool:
        return not self == other  # that of `str` would compare what is shown

    def __hash__(self) -> int:
        return hash(self._url)

    def target(self) -> Target:
        """Return where and how it is asked now.

        Raises `ConfigError` for a variable that is not set, ValueError where what a variable holds makes no address.
        """
        from urllib.parse import parse_qsl, unquote, urlsplit  # here, because most programs ask no Patroni

        parts = urlsplit(self._url.expand("Patroni") if isinstance(self._url, Template) else self._url)
        if why := _mistake(parts):
            raise ValueError(why)
        user, password = parts.username, parts.password
        login = None if user is None else (unquote(user), unquote(password or ""))
        files = dict(parse_qsl(parts.query))
        return Target(parts.hostname or "", parts.port or PORT, parts.scheme == "https", login, files)


def places(value: object) -> tuple[Place, ...] | None:
    """Return the stored form of the knob."""
    return None if value is None else tuple(url if isinstance(url, Place) else Place(url) for url in _listed(value))


def wrong_places(value: object) -> str:
    """Return what is wrong with a value of the knob; "": nothing."""
    if value is None:
        return ""
    urls = _listed(value)
    if not urls:
        return "it names none"
    return next((f"number {number}: {why}" for number, why in _mistakes(urls)), "")


def _mistakes(urls: list[str]) -> Iterator[tuple[int, str]]:
    from urllib.parse import urlsplit

    for number, url in enumerate(urls, 1):
        if isinstance(url, Place):
            continue
        if not isinstance(url, str):
            yield number, f"it is no text, but a {type(url).__name__}"
            continue
        try:
            # What a variable of a file holds is not known yet: a figure can stand wherever one can.
            why = _mistake(urlsplit(re.sub(r"\$\{\w+\}", "1", url)))
        except ValueError:
            why = "it cannot be read"
        if why:
            yield number, why


def _mistake(parts: SplitResult) -> str:
    from urllib.parse import parse_qsl

    if parts.scheme not in ("http", "https"):
        return "it must begin with http:// or https://"
    try:
        port = parts.port
    except ValueError:
        return "its port must be a whole number from 1 to 65535"
    if not parts.hostname or re.search(r"[\s,@]", parts.hostname) or parts.fragment:
        return "it must have one host; characters such as @ : / ? # in a user or password are written %40 %3A %2F"
    if port == 0:
        return "its port must be a whole number from 1 to 65535"
    if parts.path.strip("/"):
        return "it must have no path: /cluster is asked"
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if other := next((name for name in names if name not in FILES), ""):
        return f"after the ? may stand {', '.join(FILES)}" if other.isidentifier() else "what follows the ? is wrong"
    if names and parts.scheme == "http":
        return f"{', '.join(names)} are for https://"
    return "keyfile is for a certfile" if "keyfile" in names and "certfile" not in names else ""


def _listed(value: object) -> list[str]:
    """Return the URLs of a list, or of a text with commas between them, as a parameter of a URL has it."""
    if isinstance(value, str):
        return [Template(url) if isinstance(value, Template) else url for url in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else []
