"""What makes a session ready: its mode, its reset, the settings of a lost one, the user's ``on_connect``.  Generators
of `core.steps`.

Rules
-----
* They are begun only where something differs: a session that is ready costs a comparison (`Pool.checkout`).
* The session is told of each change after it has happened, so that what breaks in leaves nothing that is not true.
* A session that others share (``shared``) has none of our settings: only its transactions are read-only, and it is not
  reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..recovery.recover import Unrestorable
from ..statements.ledger import Ledger
from ..steps import Autocommit, Commit, Greet, Reset, Script, SetAutocommit, SetReadOnly, Steps
from .shelf import Session


@dataclass(frozen=True, slots=True)
class Means:
    """What the driver and the database have for it."""

    read_only_on: tuple[str, ...] = ()
    """Statements that make a session read-only."""
    read_only_off: tuple[str, ...] = ()
    """Statements that let it write again."""
    autocommit: bool = True
    """The driver has an autocommit mode."""
    shared_autocommit: bool = True
    """The driver can be in it on a session that others share."""
    reset_proof: str = ""
    """A question whose answer is true when a reset has happened."""
    hooks: tuple[Callable[[Any], object], ...] = ()
    """The user's ``on_connect``: the cluster's, then that of the use."""
    reset_keeps_hook: bool = False
    """What ``on_connect`` has set outlives a reset."""


def autocommit_of(session: Session, means: Means, autocommit: bool, read_only: bool) -> bool:
    """Return the autocommit mode that ``session`` gets: none where only a transaction can be read-only, or where the
    driver needs one.
    """
    if not session.shared:
        return autocommit
    return autocommit and not read_only and means.shared_autocommit


def set_mode(session: Session, means: Means, autocommit: bool | None, read_only: bool) -> Steps[None]:
    """Make a session read-only or not, and autocommit or not (None: as it is); what it is already costs nothing."""
    if session.shared:
        yield from _set_shared(session, autocommit_of(session, means, bool(autocommit), read_only), read_only)
        return
    if statements := _statements(session, means, read_only):
        yield Script(statements)
    session.read_only = read_only
    if autocommit is not None and session.autocommit is not autocommit:
        if means.autocommit:
            yield SetAutocommit(autocommit)
        session.autocommit = autocommit


def _statements(session: Session, means: Means, read_only: bool) -> tuple[str, ...]:
    if session.read_only is read_only:
        return ()
    if read_only:
        return means.read_only_on
    return means.read_only_off if session.read_only else ()


def _set_shared(session: Session, autocommit: bool, read_only: bool) -> Steps[None]:
    """Let the driver begin READ ONLY transactions, or not; in autocommit mode drivers would set the session instead, so
    one at a time.
    """
    if session.autocommit and not autocommit:
        yield SetAutocommit(False)
        session.autocommit = False
    if session.read_only is not read_only:
        yield SetReadOnly(read_only)
        session.read_only = read_only
    if autocommit and not session.autocommit:
        yield SetAutocommit(True)
        session.autocommit = True


def greet(means: Means) -> Steps[None]:
    """Let the user's ``on_connect`` have a new or a reset session, and commit what it leaves open."""
    for hook in means.hooks:
        if (yield Greet(hook)):
            yield Commit()


def reset(session: Session, means: Means) -> Steps[bool]:
    """Give a session its first state back, and the mode that it had; False: that cannot be, the connection must be
    closed.

    What is shared has none of ours: what would leave some is refused, and a reset would be another client's.
    """
    if session.shared:
        return True
    if not (yield Reset()):
        return False
    if means.reset_proof and not (yield Script((means.reset_proof,)))[0][0][0]:
        return False
    autocommit, read_only = session.autocommit, session.read_only
    session.read_only = session.listening = False
    session.autocommit = yield Autocommit()
    if not means.reset_keeps_hook:
        yield from greet(means)
    yield from set_mode(session, means, bool(autocommit), bool(read_only))
    return True


def restore(session: Session, ledger: Ledger, forget: tuple[str, ...] = ()) -> Steps[None]:
    """Give a new session the settings of ``ledger``, and have it prove them.  Raises `Unrestorable`, and what is raised
    into it.

    ``forget``: statements by which it forgets what it could tell of an earlier caller's.
    """
    if session.shared:
        raise Unrestorable(f"node {session.node!r} keeps no settings (via=)")
    if forget:
        yield Script(forget)
    if ledger.kept and (wrong := ledger.wrong((yield Script(ledger.script)))):
        raise Unrestorable(f"{wrong} on node {session.node!r}")
