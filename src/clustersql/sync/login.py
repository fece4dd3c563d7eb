"""Who logs in at a node, asked of the program: its credentials provider, or its password function (`nodes.login`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..config.address import Address
from ..nodes.dial import PROVIDER, Raised, Told, asking, place_of
from ..nodes.login import Given, Hangs, Late, answered, given_of
from ..nodes.topology import Topology
from .background import in_background


def credentials_for(topology: Topology, address: Address, refused: bool, told: Told | None) -> Given:
    """Return what a dial logs in with; blocks.

    ``refused``: what was given before is not accepted any more.  ``told`` is told which function of the program's it is
    in.  Raises what that function raises, and `ConfigError` for a provider that returns nonsense, unless there is
    something else to go on with.
    """
    if address.credentials is not None:
        return _provided(topology, address, refused, told)
    function = address.password
    if not callable(function):
        return Given(address)
    with asking(told):
        password = function()
    return Given(replace(address, password=lambda: password))


def _provided(topology: Topology, address: Address, refused: bool, told: Told | None) -> Given:
    provider, login = address.credentials, topology.login(address.node)
    assert provider is not None  # it was looked at

    def call() -> Any:
        with login.asking():
            return provider(place_of(address), refused)

    last = login.usable()
    if last is None:
        with asking(told, who=PROVIDER):
            answer = call()
        given = given_of(address, answer, login)
        login.answered()
        return given
    if told is not None:
        told(Raised(PROVIDER))
    ended = _in_time(call, login.patience(topology.settings.connect_timeout), f"{topology.name}-{address.node}")
    if told is not None:
        told(None)
    return answered(topology, address, last, *ended)


def _in_time(call: Callable[[], Any], seconds: float, name: str) -> tuple[Any, BaseException | None]:
    """Call the provider in a thread of its own, and wait so long; return what it returns, or what it raises."""
    if not seconds:
        return None, Hangs("has not answered yet")
    ends: list[tuple[Any, BaseException | None]] = []
    ended = threading.Event()

    def work() -> None:
        try:
            ends.append((call(), None))
        except BaseException as exc:  # in a thread of its own nobody else would hear of it
            ends.append((None, exc))
        finally:
            ended.set()

    in_background(work, f"clustersql-credentials-{name}")
    if not ended.wait(seconds):
        return None, Late(f"did not answer within {seconds:g} s")
    return ends[0]
