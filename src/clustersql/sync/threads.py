"""How a thread of ours is started where the handler of a signal may raise meanwhile."""

from __future__ import annotations

import threading


def start(thread: threading.Thread) -> None:
    """Start ``thread``.  Raises `RuntimeError` where none can be started, and what breaks in as it is.

    ``Thread.start`` takes whatever is raised in it for its own failure, and forgets the thread; one that has begun by
    then is forgotten already, so that a KeyError would come in place of a soft time limit.
    """
    error: BaseException | None = None
    try:
        thread.start()
    except KeyError as exc:
        error = exc.__context__ or exc
    if error is not None:
        try:
            raise error
        finally:
            del error  # or this frame and the error would keep each other
