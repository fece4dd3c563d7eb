"""How a node is asked for its role and readiness: a generator of `core.steps`."""

from __future__ import annotations

from collections.abc import Callable

from ..faults import Facts
from ..steps import Ask, Steps, Tell
from ..words import first_line
from .observe import Answered, Unreachable


def probe(node: str, facts: Callable[[BaseException], Facts], dialled: bool = True, peer: str = "") -> Steps[None]:
    """Ask ``node`` for its role and readiness, and tell the cluster what it said, or that it did not.

    ``dialled`` False: it is asked on a connection that was open already.  ``peer``: the address at its other end.
    """
    try:
        report = yield Ask(node)
    except Exception as exc:
        yield Tell(Unreachable(node, facts(exc).fault, first_line(exc)))
    else:
        yield Tell(Answered(node, report, dialled, peer))
