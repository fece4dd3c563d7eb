"""Who logs in at a node, asked of the program: its credentials provider, or its password function (`nodes.login`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any

from ..config.address import Address
from ..nodes.dial import PROVIDER, Raised, Told, asking, place_of
from ..nodes.login import Given, Hangs, Late, answered, given_of
from ..nodes.topology import Topology

ENDS = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""What ends a task, or the loop, whoever raises it; any other BaseException is an error of whose function raises it."""


async def credentials_for(topology: Topology, address: Address, refused: bool, told: Told | None) -> Given:
    """Return what a dial logs in with.

    ``refused``: what was given before is not accepted any more.  ``told`` is told which function of the program's it is
    in.  Raises what that function raises, and `ConfigError` for a provider that returns nonsense, unless there is
    something else to go on with.
    """
    if address.credentials is not None:
        return await _provided(topology, address, refused, told)
    function = address.password
    if not callable(function):
        return Given(address)
    with asking(told, ENDS):
        password = await _called(function)
    return Given(replace(address, password=lambda: password))


async def _provided(topology: Topology, address: Address, refused: bool, told: Told | None) -> Given:
    provider, login = address.credentials, topology.login(address.node)
    assert provider is not None  # it was looked at

    def call() -> Coroutine[Any, Any, Any]:
        return _called(provider, place_of(address), refused, within=login.asking)

    last = login.usable()
    if last is None:
        with asking(told, ENDS, PROVIDER):
            answer = await call()
        given = given_of(address, answer, login)
        login.answered()
        return given
    if told is not None:
        told(Raised(PROVIDER))
    ended = await _in_time(call, login.patience(topology.settings.connect_timeout), f"{topology.name}-{address.node}")
    if told is not None:
        told(None)
    return answered(topology, address, last, *ended)


_late: set[asyncio.Task[Any]] = set()
"""Those that were late, and have not ended yet: the loop itself holds tasks weakly."""


async def _in_time(
    call: Callable[[], Coroutine[Any, Any, Any]], seconds: float, name: str
) -> tuple[Any, BaseException | None]:
    """Call the provider in a task of its own, and wait so long; return what it returns, or what it raises."""
    if not seconds:
        return None, Hangs("has not answered yet")
    task = asyncio.get_running_loop().create_task(call(), name=f"clustersql-credentials-{name}")
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():  # it is not waited for, so that one which refuses to end keeps nobody
            task.cancel()
            _late.add(task)
            task.add_done_callback(_ended)
    if not task.done():
        return None, Late(f"did not answer within {seconds:g} s")
    error = task.exception()
    return (None, error) if error is not None else (task.result(), None)


def _ended(task: asyncio.Task[Any]) -> None:
    _late.discard(task)
    if not task.cancelled():
        task.exception()  # asked for, or the loop would say that nobody has


async def _called(
    function: Callable[..., Any],
    *arguments: Any,
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Any:
    """Call a function of the program's: an async one is awaited, any other runs in a thread, for it may block.
    ``within``: in this.
    """
    called = getattr(function, "__call__", None)  # noqa: B004 - an object may have an async one
    if iscoroutinefunction(function) or iscoroutinefunction(called):
        with within():
            return await function(*arguments)

    def call() -> Any:
        with within():
            return function(*arguments)

    given = await asyncio.to_thread(call)
    if not isinstance(given, Awaitable):
        return given
    with within():
        return await given
