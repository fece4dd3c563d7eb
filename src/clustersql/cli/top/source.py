"""Where the screen gets the states of clusters (`reports.live.state`): from a cluster of its own, or from a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from ...cluster import Cluster
from ...errors import ConfigError
from ...reports.live import State, state
from .texts import drawn

__all__ = ["Clusters", "Program", "Source", "told"]

TIMEOUT = 3.0
"""Seconds for an answer: the screen must go on when a program hangs."""
MOST = 64 << 20
"""Bytes of an answer that are read: whatever is there might send without an end."""
NO_STATE = "answers, but not as serve() of this version of clustersql does"

_HTTP = build_opener(ProxyHandler({}))
"""Past any proxy of the environment: a program is watched on its own network."""


class Source(Protocol):
    """Whoever tells of clusters."""

    name: str
    """As the screen calls it; "": it is this process."""

    def read(self) -> Sequence[State]:
        """Return what each cluster tells now.  Raises `ConfigError` when nothing is to be had."""


class Clusters:
    """Clusters of this process."""

    name = ""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self._clusters = clusters
        for each in clusters:
            each.open()

    def read(self) -> Sequence[State]:
        """Return what each tells."""
        return [state(each.snapshot(), each.metrics(), each.events()) for each in self._clusters]


class Program:
    """A program that runs `serve()`."""

    def __init__(self, url: str) -> None:
        """``url``: where it serves.  Raises `ConfigError` for what is none."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port, wrong = parts.port, False
        except ValueError:
            port, wrong = None, True
        if wrong or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigError(f"--url: {self._shown(url)!r} must be like http://127.0.0.1:8080, without a user")
        self.name = (parts.hostname if port is None else f"{parts.hostname}:{port}") + parts.path.rstrip("/")
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/state.json"

    @staticmethod
    def _shown(url: str) -> str:
        """Leave out what may be a password."""
        return url.rpartition("@")[2]

    def read(self) -> Sequence[State]:
        """Return what each of its clusters tells."""
        try:
            with _HTTP.open(Request(self._url, headers={"Accept": "application/json"}), timeout=TIMEOUT) as answer:
                return told(json.loads(answer.read(MOST)))
        except (URLError, HTTPException, OSError) as exc:
            raise ConfigError(f"{self.name}: {getattr(exc, 'reason', None) or exc}") from exc
        except ValueError as exc:
            raise ConfigError(f"{self.name}: {NO_STATE}") from exc


def told(answer: Any) -> Sequence[State]:
    """Return the states of an answer of ``/state.json``.  Raises ValueError for anything that cannot be drawn."""
    if not isinstance(answer, Mapping) or "clustersql" not in answer:
        raise ValueError(NO_STATE)
    try:
        states = list(answer["clusters"])
        for each in states:
            drawn(each)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ValueError(NO_STATE) from exc
    return states
