"""How a read gets a session that has seen a bookmark: a generator of `core.steps`.

Rules
-----
1. What was known of a node counts for a session that was open before that was asked: since then the server has not been
   started anew, so it has not gone back.  Any other session is asked itself.
2. It is asked outside of a transaction, whose snapshot would never move.
3. A replica is asked once, and waited for at most ``wait`` seconds; then the primary serves.  Who wants a replica waits
   until the deadline.
4. Behind a pooler the next statement may go to another session of a server that was started anew: only the primary
   counts there.
5. What is lost, is lost at once: waiting brings no write back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...errors import CausalityLost, NoNodeAvailable, PoolTimeout
from ..steps import Borrow, Consult, Return, See, Sleep, Steps, Tell
from ..view.epoch import Switch
from ..view.node import Node, Role
from ..view.observations import Positioned
from ..view.position import Transactions
from ..view.view import View, Want
from ..words import first_line
from .bookmark import Bookmark, Kind
from .judge import REACHED, Finding, Verdict, judged
from .means import Means
from .route import Route, Stay, Way, route

PAUSES = (0.001, 0.002, 0.004)
"""Seconds before a replica that is not there yet is asked again, the first times; then `PAUSE`.  Two of three replicas
without load are there at the first look, and nearly all 2 ms later."""
PAUSE = 0.005
ASIDE = 0.25
"""Seconds for which a session of a replica is waited for, where the primary can serve: as long as the best node may
take to connect before another one is dialled (`stagger`)."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for."""

    want: Want
    """What the caller asks for."""
    mark: Bookmark | None
    """What must have been seen; None: nothing yet."""
    means: Means
    """How its database tells positions."""
    wait: float
    """Seconds for which a replica is waited for."""
    deadline: float
    """When it ends, in monotonic seconds."""
    stay: Stay | None = None
    """Where the last read was."""


@dataclass(frozen=True, slots=True)
class Found:
    """A session that has seen it."""

    session: Any
    """The pool's session."""
    primary: bool
    """It is the primary's."""
    identity: str
    """The incarnation of the server; "": not known."""
    how: str
    """"known", "waited" or "primary", for the figures."""
    want: Want
    """What was asked of the pool for it."""


@dataclass(frozen=True, slots=True)
class Behind:
    """None was there in time."""

    nodes: dict[str, str]
    """Per node that was asked, why it does not count."""


@dataclass(slots=True)
class _Look:
    """What is found out about one session."""

    session: Any
    """The pool's session."""
    node: Node
    """Its node, as the view had it when the session was borrowed."""
    primary: bool
    """Whether the view believes it to be the primary."""
    until: float
    """When the wait for it ends, in monotonic seconds."""
    identity: str = ""
    """The incarnation of the server; "": not known yet."""
    looks: int = 0
    """How often it was asked."""
    switches: tuple[Switch, ...] = field(default=())
    """Where timelines are known to have begun."""
    gone: bool = False
    """It has been given back, with an error."""


def reading(search: Search) -> Steps[Found | Behind]:
    """Get a session for ``search``.  Raises `CausalityLost`, and what the pool raises when there is no
    session at all.
    """
    left: dict[str, str] = {}
    while True:
        now, view = yield See()
        if left and now >= search.deadline:
            return Behind(left)
        chosen = aimed(search, view, now, frozenset(left))
        try:
            session = yield Borrow(chosen.want, _patience(search, chosen.want, now))
        except (NoNodeAvailable, PoolTimeout) as exc:
            if chosen.want.among is None:
                raise
            if chosen.want.among <= left.keys():
                yield Sleep(PAUSE)
            left |= dict.fromkeys(chosen.want.among, first_line(exc))
            continue
        now, view = yield See()
        node = view.by_name.get(session.node)
        if node is None:  # it was removed meanwhile
            yield Return(session)
            continue
        look = _Look(session, node, node.role is Role.PRIMARY, min(search.deadline, now + search.wait))
        finding: Finding = yield from _proved(search, look, view)
        if finding.verdict is Verdict.REACHED and not _has_moved(search, look):
            return Found(session, look.primary, look.identity, _how(search, look, chosen.way), chosen.want)
        if not look.gone:
            yield Return(session)
        if finding.verdict is Verdict.LOST:
            raise CausalityLost(f"what the bookmark stands for cannot be read: {finding.why}")
        if node.name in left:
            yield Sleep(PAUSE)
        left[node.name] = finding.why or "it was started anew since the last read"


def aimed(search: Search, view: View, now: float, left: frozenset[str] = frozenset()) -> Route:
    """Return where to go for ``search`` at ``now``; ``left``: the nodes that were asked and are not there."""
    return route(view, search.want, search.mark, partial(_known, search, view), now, search.stay, left)


def _patience(search: Search, want: Want, now: float) -> float:
    """Return for how many seconds a session is waited for: one of certain nodes not for long, since they may have gone
    in this moment.
    """
    left = max(0.0, search.deadline - now)
    return left if want.among is None else min(left, ASIDE)


def _how(search: Search, look: _Look, way: Way) -> str:
    """Return by what way the session was found, for the figures: of a group every member is a primary."""
    alone = look.primary and search.mark is not None and search.mark.kind is not Kind.GALERA
    return "primary" if alone or way is Way.PRIMARY else "waited" if look.looks else "known"


def _has_moved(search: Search, look: _Look) -> bool:
    """Whether the replica of the last read has been started anew since, and may have gone back."""
    stay = search.stay
    return (
        stay is not None
        and not look.primary
        and stay.node == look.node.name
        and look.identity not in ("", stay.identity)
    )


def _known(search: Search, view: View, node: Node) -> bool:
    answer = search.means.known(node)
    return (
        answer is not None
        and search.mark is not None
        and judged(search.mark, answer, view.switches, newest(view, search)).verdict is Verdict.REACHED
    )


def newest(view: View, search: Search) -> int:
    """Return the newest timeline that was seen of the bookmark's database; 0: none."""
    epoch, mark = view.epoch, search.mark
    is_same = epoch is not None and mark is not None and search.means.lineage(epoch.lineage) == mark.lineage
    return epoch.number if is_same and epoch is not None else 0


def _proved(search: Search, look: _Look, view: View) -> Steps[Finding]:
    """Find out whether a session has seen it."""
    session, node = look.session, look.node
    if search.mark is None:
        look.identity = node.identity
        return REACHED
    if session.shared and not look.primary:
        return Finding(Verdict.UNPROVEN, "it is behind a pooler, so that no position of it is a proof")
    if session.opened < node.asked and not session.shared and _known(search, view, node):
        look.identity = node.identity
        return REACHED
    if search.means.kind(node) is not search.mark.kind:
        return Finding(Verdict.LOST, "it is of another kind of database")
    if search.mark.kind is Kind.GALERA and _is_foreign(search, search.mark, node):
        return Finding(Verdict.LOST, "it is of another database")
    look.switches = view.switches
    while True:
        finding: Finding = yield from _asked(search, look, view)
        now, view = yield See()
        if finding.unknown and look.primary:
            finding = yield from _by_history(search, look, view, finding)
        late = finding.verdict is Verdict.BEHIND and search.means.polls and not look.gone
        if not late or now >= look.until:
            return finding
        pause = PAUSES[look.looks - 1] if look.looks <= len(PAUSES) else PAUSE
        yield Sleep(min(pause, look.until - now))


def _is_foreign(search: Search, mark: Bookmark, node: Node) -> bool:
    """Whether a member is known to be of another group: what it answers when it has caught up does not tell."""
    return node.epoch is not None and search.means.lineage(node.epoch.lineage) != mark.lineage


def _asked(search: Search, look: _Look, view: View) -> Steps[Finding]:
    asked, _ = yield See()
    assert search.mark is not None
    statements = search.means.look(search.mark, look.primary, max(0.0, look.until - asked))
    answers = yield Consult(look.session, statements)
    look.looks += 1
    if isinstance(answers, BaseException):
        look.gone = True
        return Finding(Verdict.UNPROVEN, first_line(answers))
    answer = search.means.looked(search.mark, look.primary, answers)
    look.identity = answer.identity
    if not look.primary and isinstance(answer.place, int | Transactions):
        following = answer.timeline if answer.kind is Kind.LOG else 0
        yield Tell(Positioned(look.node.name, answer.identity, answer.place, asked, following))
    if look.primary and not answer.primary:
        return Finding(Verdict.UNPROVEN, "it is no primary any more")
    return judged(search.mark, answer, look.switches, newest(view, search))


def _by_history(search: Search, look: _Look, view: View, finding: Finding) -> Steps[Finding]:
    """Ask the primary where the timelines began; to whom that is refused, the finding stays."""
    timeline = newest(view, search)
    statements = search.means.history(timeline)
    if not statements or timeline == 0:
        return finding
    answers = yield Consult(look.session, statements)
    if isinstance(answers, BaseException):
        look.gone = True
        return finding
    look.switches = (*look.switches, *search.means.switches(timeline, answers))
    return (yield from _asked(search, look, view))
