"""What the pools of both APIs have in common: checkout, dials and return around the bookkeeping of `core.booking.book`.

What the monitor does for a pool stands in `upkeep`, which the pool does not know.

Rules
-----
* Nothing here waits: `sync.pool` waits with threads, `aio.pool` in an event loop; what they do while waiting is theirs.
* Decide under the lock, act outside it: under ``_lock`` there is only the bookkeeping, never a call of a driver that may block.
  A pool of the asyncio API lives in one thread, and its lock is none.
* Whatever was dialled is in the book, handed to somebody, or closed; so is what was abandoned.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from .. import fork
from ..config.pooler import no_autocommit
from ..core.booking.book import Book, dial_plan
from ..core.booking.mode import Means, autocommit_of
from ..core.booking.opening import GaveUp, fill
from ..core.booking.shelf import Actions, Session, Shelf, Waiter
from ..core.faults import Fault
from ..core.steps import Dial, Look, Picture, Step, Steps
from ..core.view.observe import Refused, SessionLost
from ..core.view.use import Use
from ..core.view.view import Service, View, Want
from ..drivers.contract import AnyDriver
from ..errors import ClusterError, PoolClosed, bind
from ..nodes.dial import CalledOff, D, Probing, is_callers, means_of, tell_failure
from ..nodes.topology import Topology
from .counts import counted, empty_book, policy_of
from .holders import NOBODY, holders, waiters
from .lost import is_unreachable
from .outside import DialledFor, OutsideConnections
from .unavailable import none_to_be_had, unfit


class BasePool(Generic[D]):
    """Connections to every node of one cluster, handed out best node first: all but the waiting."""

    _prober: Probing

    def __init__(self, topology: Topology, driver: AnyDriver) -> None:
        self.topology = topology
        self.knobs = topology.settings
        self.timeout = self.knobs.timeout
        # Given up by the garbage collector, which may run under any lock: `take_in_orphans` takes them in.
        # Each with its holder: it may be found a second time.
        self.orphans: deque[tuple[Session, Any]] = deque()
        # Of connections that a framework has dropped; the garbage collector may be the one who says so.
        self.gone: deque[Shelf] = deque()
        # Of the connections that were dialled for frameworks; None: none was.
        self.register: OutsideConnections | None = None
        self.waits = 0
        self.hung = 0
        self.reading = driver
        self._lock = self._new_lock()
        self._book = self._empty_book()
        self._attempts: set[D] = set()
        self._outside: weakref.WeakSet[Session] = weakref.WeakSet()  # in no book: only a forked child asks

    def _begin(self, listener: Callable[[View], None]) -> None:
        """Take part from now on: called at the end of the constructor.  ``listener`` hands new views on to `_adopt`."""
        self._listener = listener
        self._book.adopt(self.topology.view)
        self.topology.listeners.append(listener)
        fork.track(self)

    # -- what the two APIs do in their own ways ------------------------------------------------------------------------------------

    def _new_lock(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def _attempt(self, shelf: Shelf, waiter: Waiter | None, arguments: Mapping[str, Any] | None, use: Use | None) -> D:
        raise NotImplementedError

    def _close_all(self, sessions: Sequence[Session]) -> None:
        raise NotImplementedError

    def _drive_fill(self, steps: Steps[int], waiter: Waiter) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        """Let the monitor come round now."""
        raise NotImplementedError

    def wake_by(self, moment: float) -> None:
        """Let the monitor come round at ``moment`` (monotonic seconds) at the latest."""
        raise NotImplementedError

    def _ensure_monitor(self) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        """Let the monitor come round no more."""
        raise NotImplementedError

    def _drop(self, raw: Any) -> None:
        """Close a connection of the driver at once, whichever thread this is."""
        raise NotImplementedError

    # -- the book -------------------------------------------------------------------------------------------------------------

    def _empty_book(self) -> Book:
        return empty_book(self.topology)

    def give_back(self, session: Session, keep: bool = True, holder: Any = None) -> None:
        """Take a connection back.  The caller has made it clean, or says that it is not worth keeping.

        ``holder``: whose it is; when it is that one's no more, it was given back already.
        """
        actions = None
        try:
            with self._lock:
                actions = self._book.give_back(session, time.monotonic(), keep, holder)
            if actions is not None:
                self._act(actions)
        except BaseException:  # the handler of a signal raised: what it broke off is done now
            if actions is None and holder is not None:
                self.give_back(session, False, holder)
            elif actions is not None:
                self._act(actions)
            raise

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._book.closed

    def _adopt(self, view: View) -> None:
        with self._lock:
            news = view.version != self._book.view.version
            actions = self._book.adopt(view)
            resized = self._resize() if self.knobs is not self.topology.settings else None
        self._act(actions)
        if resized is not None:
            self._act(resized)
        if news:
            self._wake()  # a suspect node is dialled, and a refusal is looked into, at once

    def _resize(self) -> Actions:
        """Take the knobs over that were published with the view; the others are read where they are."""
        before, knobs = self.knobs, self.topology.settings
        chosen = None
        if (before.policy, before.local_threshold) != (knobs.policy, knobs.local_threshold):
            chosen = policy_of(knobs)
        self.knobs, self.timeout = knobs, knobs.timeout
        return self._book.resize(knobs.max_size, knobs.max_dials_per_node, chosen, knobs.slow_start)

    def reclaim(self, holder: Any) -> None:
        """Take back what ``holder`` may have been given: something broke into its checkout."""
        with self._lock:
            shelves = self._book.shelves.values()
            sessions = [one for shelf in shelves for one in (*shelf.open, *shelf.outside) if one.holder is holder]
        for session in sessions:
            self.give_back(session, False, holder)

    def _act(self, actions: Actions) -> None:
        """Do what the book asks for.  Twice does no harm: whatever breaks in, it is done again."""
        for waiter in actions.wake:
            waiter.signal.set()
        if actions.close:
            self._close_all(actions.close)
        if actions.close and self.topology.settings.min_idle:
            self._wake()  # to fill up what was closed

    # -- checkout and return -------------------------------------------------------------------------------------------------------

    def hand_over(self, session: Session, register: OutsideConnections, want: Want) -> Any:
        """Return the driver's connection of an outside session, which is the caller's alone from now on, until `gone` says that it ended."""
        raw, shelf, gone = session.raw, session.shelf, self.gone
        with self._lock:
            shelf.outside.discard(session)
        self.register = register
        register.remember(
            raw, DialledFor(shelf.name, session.generation, want, self.reading), lambda: gone.append(shelf)
        )
        return raw

    def blame(self, session: Session, seen: SessionLost | Refused, error: BaseException) -> None:
        """Take what an error of ``session`` says about its node into account."""
        self.topology.failed(session.node, error)
        with self._lock:
            session.shelf.penalize(time.monotonic())
        self.topology.tell(seen)

    def means(self, use: Use | None = None) -> Means:
        """Return what there is for making a session of that use ready."""
        return means_of(self.topology, self.reading, use)

    def require_autocommit(self, session: Session, read_only: bool) -> None:
        """Raise `ConfigError` when a caller asks for autocommit mode where it is not possible."""
        if not autocommit_of(session, self.means(), True, read_only):
            raise no_autocommit(session.node, read_only, self.reading.name)

    def end_switch(self, session: Session, error: BaseException) -> None:
        """Setting the mode of a session that nobody holds yet raised.  Returns where it was lost, so that another one will do; else raises."""
        if not isinstance(error, Exception):  # with the answer pending
            self.give_back(session, keep=False)
            raise error
        if not self.lost_in_switch(session, error):
            raise error

    def lost_in_switch(self, session: Session, error: Exception) -> bool:
        """Setting a session's mode raised: it goes.  True: it was lost, and nothing of the caller's was sent; False: the error is the caller's.

        Raises what is not the driver's error as it is.
        """
        facts = self.reading.facts(error, session.raw)
        generation, node = session.generation, session.node
        self.give_back(session, keep=False)
        if facts.fault is Fault.FOREIGN:
            raise error
        if facts.lost:
            self.blame(session, SessionLost(node, generation, str(error)), error)
        return facts.lost

    # -- opening -------------------------------------------------------------------------------------------------------------------

    def _stagger(self) -> float:
        return 0.0 if self._book.policy.at_once else self.topology.settings.stagger

    def _enter_queue(self, waiter: Waiter) -> None:
        """Put a caller in the queue; from now on it may be served at any moment, and ends by `_outcome` or `_interrupted`."""
        self.waits += 1
        self.take_in_orphans()
        waiter.since = time.monotonic()
        with self._lock:
            self._book.enqueue(waiter)

    def _interrupted(self, waiter: Waiter) -> None:
        """The caller waits no more.  What it was served in the same moment nobody else knows of."""
        late = self._withdraw(waiter, None)
        if late is not None:
            self.give_back(late, True, waiter.holder)

    def _outcome(self, waiter: Waiter, outcome: Any | GaveUp, began: float) -> Session:
        """Return the connection that `open_` ended with, or raise why there is none.  ``began`` in monotonic seconds."""
        session: Session | None = None if isinstance(outcome, GaveUp) else outcome
        late = self._withdraw(waiter, session)
        now, events = time.monotonic(), self.topology.events
        if (found := session or late) is not None:
            found.lent_at = now
            events.waited(found.node, now - began, now)
            return found
        error = none_to_be_had(self.topology, self._book, self.reading.operational_error, outcome, waiter, now - began)
        events.note("timeout", waiter.want.node or "", str(error))
        raise error

    def _withdraw(self, waiter: Waiter, held: Session | None) -> Session | None:
        """Leave the queue.  A connection that was served in the same moment is returned."""
        with self._lock:
            given, actions = self._book.withdraw(waiter)
        self._act(actions)
        given = given or waiter.given  # the event that says so was broken off
        if given is None or given is held:
            return None
        return given

    def _fill_step(self, step: Step, waiter: Waiter) -> object:
        """Perform a step of `fill`, whose dials are nobody's in particular."""
        return self.begin_dial(step.node) if isinstance(step, Dial) else self._look(waiter)

    def _step(self, step: Step, waiter: Waiter, arguments: Mapping[str, Any] | None) -> object:
        """Perform a step of `open_` that never waits."""
        match step:
            case Look():
                return self._look(waiter)
            case Dial(node):
                return self.begin_dial(node, waiter, arguments)
        raise AssertionError(step)

    def _look(self, waiter: Waiter) -> Picture:
        now = time.monotonic()
        with self._lock:
            if self._book.closed:
                raise self.error(PoolClosed, f"the pool of cluster {self.topology.name!r} is closed")
            names = dial_plan(self._book, waiter, now)
            view = self._book.view
        if not names and not view.serving(waiter.want):
            self._wake()  # the one prober that asks for all waiters
        return Picture(now, names, view.hopeless(waiter.want, waiter.refused))

    def begin_dial(
        self, name: str, waiter: Waiter | None = None, arguments: Mapping[str, Any] | None = None
    ) -> bool | None:
        """Begin to dial ``name``, in the background.  Returns what `Dial` is answered by."""
        actions, attempt = Actions(), None
        try:
            with self._lock:
                begun, _ = self._book.begin_dial(name, waiter, actions)
            self._act(actions)
            shelf = actions.dial
            if shelf is not None and not (actions.spare is not None and self._use_spare(shelf, waiter, actions)):
                use = waiter.want.use if waiter is not None else None
                attempt = self._attempt(shelf, waiter, arguments if use is None else use.arguments, use)
                with self._lock:
                    self._attempts.add(attempt)
                self._ensure_monitor()  # a forked child has none yet, and nobody else abandons a dial that is late
                attempt.start()
        except BaseException:  # the handler of a signal raised: the room that was reserved is free again
            self._act(actions)
            if attempt is not None:
                attempt.cancel()
            elif actions.dial is not None:
                self._dial_called_off(actions.dial, waiter)
            raise
        return begun

    def _dial_called_off(self, shelf: Shelf, waiter: Waiter | None) -> None:
        with self._lock:
            actions = self._book.dial_failed(shelf, CalledOff(), time.monotonic(), waiter)
        self._act(actions)

    def _use_spare(self, shelf: Shelf, waiter: Waiter | None, asked: Actions) -> bool:
        """Let the connection that is kept for probes end a dial before it begins; False: there is none."""
        actions, session = Actions(), None
        try:
            with fork.calls:  # a child that is forked between the two would find it neither here nor there
                spare = self._prober.spare(shelf.name)
                if spare is None:
                    return False
                session = self._session(spare.raw, shelf, spare.opened)
                # Of the moment of the decision: what was heard since is news about this one too.
                session.generation = asked.spare if asked.spare is not None else session.generation
                session.idle_since = now = time.monotonic()  # so that it is looked at before it is handed out
                misfit = unfit(self.topology.view, shelf.name, waiter)
                with self._lock:
                    actions = self._book.dialled(session, spare.seconds, now, waiter, misfit)
            self._act(actions)
        finally:
            if session is not None and session in shelf.open:
                asked.dial = None  # the room is taken, whatever breaks in
        return True

    def _dial_ended(
        self, attempt: D, shelf: Shelf, waiter: Waiter | None, own: bool = False, use: Use | None = None
    ) -> None:
        """A dial has ended; ``own``: it had arguments of its caller's.  ``use``: what it was made with."""
        topology, name = self.topology, attempt.name
        if attempt.error is not None:
            if attempt.hooked is not None and waiter is not None:
                waiter.refused |= {name}
                waiter.hooked[name] = attempt.error
            if attempt.hooked is None and own and waiter is not None and is_callers(self.reading, attempt.error):
                waiter.refused |= {name}
            elif isinstance(attempt.error, Exception):  # a cancellation is no news about the node
                # Before the waiter is told: its next look must not see the node up.
                tell_failure(topology, self.reading, attempt, attempt.error)
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dial_failed(shelf, attempt.error, time.monotonic(), waiter)
        else:
            answer = attempt.result
            topology.connected(name)
            topology.tell(answer.news(name, self.reading.peer(answer.raw)))
            session = self._session(answer.raw, shelf)
            session.use = use
            misfit = unfit(topology.view, name, waiter)
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dialled(session, attempt.seconds, time.monotonic(), waiter, misfit)
        self._act(actions)
        if (
            self.topology.settings.min_idle and attempt.hooked is None
        ):  # or a hook that raises would be called without a pause
            self._wake()  # to go on filling

    def _session(self, raw: Any, shelf: Shelf, opened: float | None = None) -> Session:
        now = time.monotonic() if opened is None else opened
        node = self.topology.view.by_name.get(shelf.name)
        jitter = 0.9 + 0.1 * random.random()  # or all would be replaced in the same second
        lifetime = self.topology.settings.max_lifetime * jitter
        session = Session(raw, shelf, node.generation if node else -1, now, now + lifetime)
        session.jitter = jitter
        session.shared = self.topology.is_shared(shelf.name)
        session.autocommit = self.reading.autocommit(raw)
        session.read_only = False
        return session

    def error(self, kind: type[ClusterError], text: str) -> ClusterError:
        """Return one of our errors as an instance of the driver's ``OperationalError`` too."""
        return bind(kind, self.reading.operational_error)(text)

    # -- what was given up ---------------------------------------------------------------------------------------------------------

    def number(self, session: Session) -> int | None:
        """Return the server's number of a session, by which another one can cancel it; None: not known, or another client's a moment later."""
        return None if session.shared else self.reading.session_id(session.raw)

    def interrupted(self, session: Session) -> None:
        """Something broke into a call on ``session`` with its answer pending: it is closed, and its statement cancelled on the server.

        Until then it stays in flight: what was cancelled still costs the node.
        """
        session.tainted = True
        number = self.number(session)
        if number is not None:
            self.cancel(session.node, number)

    def cancel(self, node: str, number: int) -> None:
        """Ask ``node``, on another connection, to end what its session ``number`` is executing.  In the background; nothing depends on it."""
        statement = self.reading.dialect.cancel
        if statement and not self.closed:
            self._prober.say(node, statement.format(number))

    def take_in_orphans(self) -> None:
        """Take in what the garbage collector has found, and what frameworks have dropped."""
        while self.gone:
            with contextlib.suppress(IndexError), self._lock:
                self.gone.popleft().in_flight -= 1
        while self.orphans:
            with contextlib.suppress(IndexError):  # another thread was faster
                session, holder = self.orphans.popleft()
                self.give_back(session, False, holder)

    def take_in_lost(self) -> None:
        """Take in what nobody will give back: something broke in while it changed hands, or in the end of its holder."""
        actions = Actions()
        with self._lock:
            for session in self._book.lost(is_unreachable):
                self._book.take_in(session, actions)
        self._act(actions)

    def fill_up(self) -> None:
        """Dial until ``min_idle`` connections are idle."""
        settings = self.topology.settings
        if settings.min_idle:
            want = Want(Service.READ if settings.read_only else Service.WRITE, settings.read_only)
            with self._lock:
                shelves = self._book.shelves
                ready = self._book.chosen(want)  # an idle connection to another node is ready for nobody
                idle = sum(session.use is None for shelf in ready for session in shelf.idle) + sum(
                    shelf.dials for shelf in shelves.values()
                )
                room = (
                    self._book.max_size - self._book.total if ready else 0
                )  # the prober is asking; its answer comes by here again
            self._drive_fill(fill(idle, settings.min_idle, room), Waiter(want))

    # -- the end, and forks ----------------------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Give out nothing more; the rest is `shut`'s, which takes the lock."""
        self._book.closed = True

    def shut(self) -> None:
        """Close idle connections now, the others when they are given back; whoever waits gets `PoolClosed`."""
        self._act(self._shut())
        self._prober.close()

    def _shut(self) -> Actions:
        """Take no more part.  Returns what is left to do."""
        with self._lock:
            actions = self._book.close()
        if self._listener in self.topology.listeners:
            self.topology.listeners.remove(self._listener)
        self._forget()
        self.take_in_orphans()
        return actions

    def after_fork(self) -> Sequence[Any]:
        """In a forked child: begin anew, and return the parent's connections and cursors, which must never be finalized here."""
        inherited = [session for shelf in self._book.shelves.values() for session in (*shelf.open, *shelf.outside)]
        inherited += [*self._outside, *(session for session, _ in self.orphans)]
        raws = [session.raw for session in inherited] + self._prober.after_fork()
        for session in inherited:
            if session.holder is not None:
                raws += session.holder.inherit()
        raws += [attempt.held for attempt in self._attempts if attempt.held is not None]
        closed = self._book.closed
        self._lock = self._new_lock()
        self._book = self._empty_book()
        self._book.closed = closed
        self._attempts = set()
        self._outside = weakref.WeakSet()
        self.orphans.clear()
        self.topology.after_fork()
        self._book.adopt(self.topology.view)
        return raws

    def abandon(self, session: Session) -> None:
        """Take a session from the garbage collector, which may run in a thread that holds any lock: so none is taken here."""
        if self._book.closed:
            self._drop(session.raw)  # nobody comes by any more to do it
        else:
            self.orphans.append((session, session.holder))

    def stats(self) -> dict[str, Any]:
        """Return sizes and counts: of the pool, and per node under ``nodes``.

        Never waits: a signal handler may ask in the middle of anything, also of what holds the lock.  Then a connection that is just
        changing hands may be counted on neither side, or on both.
        """
        if self._is_locked():
            return counted(self._book, self.waits, self.hung)
        with self._lock:  # a lock that is taken otherwise stays taken when the handler of a signal raises then
            return counted(self._book, self.waits, self.hung)

    def told(self) -> dict[str, Any]:
        """Return what `stats` does, and who waits and who holds a connection.  Never waits, as `stats`."""
        return self.stats() | {"waiters": waiters(self._book), "holders": holders(self._book, *self._callers())}

    def _callers(self) -> tuple[Mapping[int, str], Mapping[int, str]]:
        """Return the names of the threads, and of the tasks, by what the site of a handle says of who checked it out."""
        return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}, NOBODY

    def _is_locked(self) -> bool:
        """Whether somebody has the lock: this thread too, where a signal has interrupted it."""
        raise NotImplementedError

    def words(self) -> str:
        """Return the state of the pool for a `repr`."""
        s = self.stats()
        return "closed" if s["closed"] else f"{s['in_flight']} in flight, {s['idle']} idle, at most {s['max_size']}"

    def __repr__(self) -> str:
        s = self.stats()
        return f"<Pool {self.topology.name!r} size={s['size']}/{s['max_size']} idle={s['idle']} in_flight={s['in_flight']} waiting={s['waiting']}>"
