"""One question to Patroni, for asyncio: see `nodes.patroni`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ..config.patroni import Place
from ..core.steps import Fetch, Step
from ..core.view.members import Members
from ..core.view.patroni import ask
from ..nodes.patroni import Answer, context, request
from .drive import drive


async def ask_patroni(places: Sequence[Place], seconds: float) -> tuple[Place | None, Members]:
    """Ask one place after the other, each for so many seconds at most, until one answers.

    Returns the place and what it tells, or None and why none could.
    """

    async def perform(step: Step) -> object:
        assert isinstance(step, Fetch)
        return await fetch(step.place, seconds)

    return await drive(ask(places), perform)


async def fetch(place: Place, seconds: float) -> Any:
    """Return what a Patroni answers, as values of JSON.

    ``seconds`` bound it in all.  Raises OSError where it cannot be reached or is late, ValueError where what answers is
    no Patroni, `ConfigError` for a variable that is not set.
    """
    target = place.target()
    try:
        async with asyncio.timeout(seconds):
            # In a thread: it reads the system's certificates.
            spoken = await asyncio.to_thread(context, target) if target.tls else None
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=spoken)
            try:
                writer.write(request(target))
                answer = Answer()
                while answer.take(await reader.read(65536)):
                    pass
            finally:
                writer.transport.abort()  # a goodbye of TLS would be waited for
    except TimeoutError:
        raise TimeoutError("timed out") from None
    return answer.content()
