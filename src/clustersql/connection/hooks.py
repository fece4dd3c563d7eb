"""What was given to ``on_commit`` is called: after the commit, each once, whatever the others raise.  Shared by both
APIs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from typing import Any

from ..core.words import note, text_of
from ..errors import ConfigError
from .running import outside

log = logging.getLogger("clustersql")

COMMITTED = "clustersql: raised by a function that was given to on_commit(): the transaction is committed"
INSTEAD = "give a plain function; with asyncio it may start a task: lambda: asyncio.create_task(work())"


def call_hooks(hooks: Sequence[Callable[[], Any]]) -> None:
    """Call each of ``hooks``; then raise the first error among theirs, with a note that the transaction is committed.

    A `BaseException` (KeyboardInterrupt, SystemExit) goes before an error.  What is not raised is logged, and named in
    a note.
    """
    errors: list[BaseException] = []
    with outside():
        for hook in hooks:
            try:
                _call(hook)
            except BaseException as exc:
                errors.append(exc)
    if errors:
        raise _first(errors)


def _call(hook: Callable[[], Any]) -> None:
    value = hook()
    if isinstance(value, Coroutine | Generator | AsyncGenerator):
        if isinstance(value, Coroutine | Generator):
            value.close()
        raise ConfigError(
            f"on_commit(): the function has returned a {type(value).__name__}, of which nothing was executed; {INSTEAD}"
        )


def _first(errors: list[BaseException]) -> BaseException:
    """Return what is raised; the others are told with it, for only one can be raised, and ``except`` must find its
    class.
    """
    raised = next((one for one in errors if not isinstance(one, Exception)), errors[0])
    note(raised, COMMITTED)
    for other in errors:
        if other is not raised:
            note(raised, f"clustersql: another one has raised {type(other).__name__}: {text_of(other)}")
            log.error("clustersql: a function that was given to on_commit() has raised", exc_info=other)
    return raised
