"""Model-based test of the pool's bookkeeping: random histories of callers, dials, failures and views, against a count
of our own.

Callers are driven by the real `open_`, performed as `sync/pool.py` does, but with a virtual clock and every
interleaving of the events.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clustersql.core.booking.book import Book, dial_plan
from clustersql.core.booking.opening import GaveUp, open_
from clustersql.core.booking.shelf import Actions, Session, Shelf, Waiter
from clustersql.core.faults import Fault
from clustersql.core.policies.named import NAMED, policy
from clustersql.core.recovery.budget import Budget
from clustersql.core.steps import Await, Changed, Dial, DialFailed, Look, Picture
from clustersql.core.view.node import Readiness, Report, Role
from clustersql.core.view.observations import (
    Added,
    Answered,
    Draining,
    Observation,
    Refused,
    Removed,
    SessionLost,
    Unreachable,
)
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

FOREVER = 1e9
NODES = ("a", "b", "c")
WANTS = (Want(Service.WRITE), Want(Service.READ, read_only=True), Want(Service.READ, node="b"), Want(Service.REPLICA))


@dataclass(eq=False)
class Caller:
    """One who waits for a connection, and what the model knows of it."""

    waiter: Waiter
    steps: Generator[Any, Any, Any]
    until: float | None = None
    plan: tuple[str, ...] = ()
    failed: set[str] = field(default_factory=set)
    waits_only: bool = False


@dataclass(eq=False)
class Dialling:
    """A dial under way."""

    shelf: Shelf
    waiter: Waiter | None

    @property
    def outside(self) -> bool:
        return self.waiter is not None and self.waiter.outside


class PoolModel(RuleBasedStateMachine):
    """Each connection is in exactly one place; every limit holds; nobody is forgotten."""

    @initialize(
        max_size=st.integers(1, 4),
        max_dials=st.integers(1, 2),
        name=st.sampled_from(sorted(NAMED)),
        writer=st.sampled_from(["single", "any"]),
        roles=st.lists(st.sampled_from([Role.PRIMARY, Role.REPLICA]), min_size=3, max_size=3),
        shares=st.lists(st.tuples(st.sampled_from([0.0, 1.0, 3.0]), st.integers(1, 2)), min_size=3, max_size=3),
        seed=st.integers(0, 9),
        eager=st.booleans(),
    )
    def begin(
        self,
        max_size: int,
        max_dials: int,
        name: str,
        writer: str,
        roles: list[Role],
        shares: list[tuple[float, int]],
        seed: int,
        eager: bool,
    ) -> None:
        self.now = 1.0
        self.shares = dict(zip(NODES, shares, strict=True))
        self.eager = eager
        self.stagger = 0.0 if name == "race" else 0.25
        self.book = Book(max_size, max_dials, policy(name), random.Random(seed).random)
        self.view = View(writer=writer)
        self.callers: list[Caller] = []
        self.dials: list[Dialling] = []
        self.made: list[Session] = []
        self.lent: list[Session] = []
        self.closed: list[Session] = []
        self.outside: set[Session] = set()
        self.woken: set[Waiter] = set()
        for node, role in zip(NODES, roles, strict=True):
            self.tell(Added(node, None, *self.shares[node]))
            self.tell(Answered(node, Report(role)))

    # -- what the performer does

    def tell(self, seen: Observation) -> None:
        self.view = observe(self.view, seen, self.now)
        self.act(self.book.adopt(self.view))

    def act(self, actions: Actions | Waiter | None, waiter: Waiter | None = None) -> None:
        if actions is None:
            return
        if isinstance(actions, Waiter):
            self.woken.add(actions)
            return
        self.closed += actions.close
        self.woken.update(actions.wake)
        if actions.dial is not None:
            self.dials.append(Dialling(actions.dial, waiter))

    def hold(self, session: Session, want: Want) -> None:
        self.lent.append(session)
        if session not in self.outside:
            assert session.generation == session.shelf.generation or session.shelf.retired or self.stale_view(session)

    def stale_view(self, session: Session) -> bool:
        """It was served in its generation; the view moved on before its caller looked."""
        return session.generation < session.shelf.generation

    def run(self, caller: Caller, answer: object) -> None:
        caller.until = None
        try:
            step = caller.steps.send(answer)
            while True:
                match step:
                    case Look():
                        if self.book.closed:
                            self.leave(caller, None)
                            return
                        caller.plan = dial_plan(self.book, caller.waiter, self.now)
                        answer = Picture(self.now, caller.plan, self.view.hopeless(caller.waiter.want))
                    case Dial(node):
                        answer, actions = self.book.begin_dial(node, caller.waiter)
                        self.act(actions, caller.waiter)
                    case Await(seconds):
                        if not caller.waiter.events:
                            caller.until = self.now + seconds
                            return
                        answer = self.event(caller)
                step = caller.steps.send(answer)
        except StopIteration as done:
            self.leave(caller, None if isinstance(done.value, GaveUp) else done.value)

    def event(self, caller: Caller) -> object:
        event = caller.waiter.events.popleft()
        if isinstance(event, DialFailed):
            caller.failed.add(event.node)
        elif isinstance(event, Changed):
            caller.failed.clear()
        return event

    def leave(self, caller: Caller, held: Session | None) -> None:
        self.callers.remove(caller)
        given, actions = self.book.withdraw(caller.waiter)
        self.act(actions)
        assert held is None or given is held, "served twice"
        caller.waiter.general()
        caller.waiter.events.clear()
        session = held or given
        if session is not None:
            self.hold(session, caller.waiter.want)

    def deliver_all(self) -> None:
        while ready := [c for c in self.callers if self.has_news(c)]:
            self.hear(ready[0])

    def has_news(self, caller: Caller) -> bool:
        """Whether it is to be woken: an event, or a connection in the hands of one who only waits."""
        return bool(caller.waiter.events) or (caller.waiter.plain and caller.waiter.given is not None)

    def hear(self, caller: Caller) -> None:
        """It goes on, as `Pool._wait` does where it was plain until now."""
        waiter = caller.waiter
        if caller.waits_only:
            caller.waits_only = False
            waiter.general()
            if waiter.given is not None:
                self.leave(caller, waiter.given)
            else:
                self.run(caller, None)
            return
        self.run(caller, self.event(caller) if waiter.events else None)

    def after(self) -> None:
        if self.eager:
            self.deliver_all()

    # -- what may happen

    @rule(want=st.sampled_from(WANTS), avoid=st.sampled_from([None, None, "a"]), outside=st.booleans())
    def checkout(self, want: Want, avoid: str | None, outside: bool) -> None:
        if self.book.closed:
            return
        session = None if outside else self.book.take(want, self.now, avoid)
        if session is not None:
            assert session.node in self.view.serving(want), "not of the wanted role"
            assert session.generation == self.view.by_name[session.node].generation, "an old generation was handed out"
            self.hold(session, want)
            return
        lined_up = self.book.plain(want, self.now) if avoid is None and not outside else None
        if lined_up is not None:
            assert self.book.total >= self.book.max_size, "it only waits, and there is room"
            self.book.line_up(lined_up)
            self.callers.append(Caller(lined_up, open_(FOREVER, self.stagger), waits_only=True))
            return
        waiter = Waiter(want, avoid, outside=outside)
        self.book.enqueue(waiter)
        caller = Caller(waiter, open_(FOREVER, self.stagger))
        self.callers.append(caller)
        self.run(caller, None)
        self.after()

    @precondition(lambda self: self.dials)
    @rule(
        data=st.data(),
        role=st.sampled_from([Role.PRIMARY, Role.PRIMARY, Role.REPLICA]),
        lifetime=st.sampled_from([1.0, 60.0]),
    )
    def dial_succeeds(self, data: st.DataObject, role: Role, lifetime: float) -> None:
        dial = self.dials.pop(data.draw(st.integers(0, len(self.dials) - 1)))
        name, waiter = dial.shelf.name, dial.waiter
        self.tell(Answered(name, Report(role)))
        node = self.view.by_name.get(name)
        session = Session(object(), dial.shelf, node.generation if node else -1, self.now, self.now + lifetime)
        self.made.append(session)
        unfit = None
        if waiter is not None and name not in self.view.serving(waiter.want):
            unfit = RuntimeError("unfit")
        if dial.outside:
            self.outside.add(session)
            self.act(self.book.dialled(session, 0.01, self.now, waiter, unfit))
        else:
            first = self.first_in_line(session)
            self.act(self.book.dialled(session, 0.01, self.now, waiter, unfit))
            self.check_served(first, session)
        self.after()

    @precondition(lambda self: self.dials)
    @rule(
        data=st.data(),
        fault=st.sampled_from([None, Fault.LOST, Fault.OVERLOADED, Fault.NOT_READY, Fault.MISCONFIGURED]),
    )
    def dial_fails(self, data: st.DataObject, fault: Fault | None) -> None:
        dial = self.dials.pop(data.draw(st.integers(0, len(self.dials) - 1)))
        if fault is not None:
            self.tell(Unreachable(dial.shelf.name, fault))
        self.act(self.book.dial_failed(dial.shelf, RuntimeError("refused"), self.now, dial.waiter))
        self.after()

    @precondition(lambda self: any(s not in self.outside for s in self.lent))
    @rule(data=st.data(), keep=st.sampled_from([True, True, False]))
    def give_back(self, data: st.DataObject, keep: bool) -> None:
        session = data.draw(st.sampled_from([s for s in self.lent if s not in self.outside]))
        self.lent.remove(session)
        first = self.first_in_line(session) if keep else None
        self.act(self.book.give_back(session, self.now, keep))
        self.check_served(first, session)
        assert keep or session in self.closed
        self.after()

    @precondition(lambda self: any(self.has_news(c) for c in self.callers))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self.hear(data.draw(st.sampled_from([c for c in self.callers if self.has_news(c)])))

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def time_out(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(self.callers))
        caller.steps.close()
        self.leave(caller, None)
        self.after()

    @rule(seconds=st.sampled_from([0.1, 0.25, 2.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for caller in list(self.callers):
            if caller.until is not None and caller.until <= self.now and caller in self.callers:
                self.hear(caller)
        self.after()

    @rule()
    def reap(self) -> None:
        self.act(self.book.reap(self.now, 30.0))
        idle = [s for shelf in self.book.shelves.values() for s in shelf.idle]
        assert all(s.expires > self.now and self.now - s.idle_since < 30.0 for s in idle)
        self.after()

    @rule(
        node=st.sampled_from(NODES),
        kind=st.sampled_from(
            "lost refused_ro refused_nr down primary replica joining drain undrain remove add".split()
        ),
        old=st.booleans(),
    )
    def news(self, node: str, kind: str, old: bool) -> None:
        known = self.view.by_name.get(node)
        generation = (known.generation if known else 0) - old
        seen: dict[str, Observation] = {
            "lost": SessionLost(node, generation),
            "refused_ro": Refused(node, generation, Fault.READ_ONLY),
            "refused_nr": Refused(node, generation, Fault.NOT_READY),
            "down": Unreachable(node),
            "primary": Answered(node, Report(Role.PRIMARY)),
            "replica": Answered(node, Report(Role.REPLICA)),
            "joining": Answered(node, Report(Role.REPLICA, Readiness.JOINING)),
            "drain": Draining(node),
            "undrain": Draining(node, False),
            "remove": Removed(node),
            "add": Added(node, None, *self.shares[node]),
        }
        self.tell(seen[kind])
        if known and kind in ("lost", "refused_ro", "refused_nr") and old:
            assert self.view.by_name[node] == known, "an older generation's error changed the node"
        self.after()

    @precondition(lambda self: len(self.made) > 6)
    @rule()
    def close(self) -> None:
        self.act(self.book.close())
        assert self.book.idle == 0
        self.after()

    # -- what must hold

    def first_in_line(self, session: Session) -> Waiter | None:
        """Whom `session` must go to when it comes free now: own arithmetic, first come, first served among those it
        fits.
        """
        node = self.view.by_name.get(session.node)
        fresh = node is not None and not session.shelf.retired and session.generation == node.generation
        if self.book.closed or not fresh or self.now >= session.expires:
            return None
        for caller in self.callers:  # in the order of their coming
            waiter = caller.waiter
            names = set(self.view.serving(waiter.want))
            if waiter.outside or waiter.given is not None:
                continue
            fits = self.group(names - {waiter.avoid} or names)
            dialled = (
                session.node in names - {waiter.avoid} and session.node in waiter.names
            )  # as its group refuses new ones
            if session.node in fits or (dialled and fits < names):
                return waiter
            full = self.book.total >= self.book.max_size
            if full and "" in waiter.blocked_on and waiter.passed_over >= self.book.max_size:
                return None  # closed, to make room for this one
        return None

    def group(self, names: set[str]) -> set[str]:
        """Those that come into question by what was configured."""
        weights, groups = ({node: self.shares[node][i] for node in names} for i in (0, 1))
        match self.book.policy.name:
            case "weighted":
                return {node for node in names if weights[node]} or names
            case "priority":
                return {node for node in names if groups[node] == min(groups.values())}
        return names

    def check_served(self, first: Waiter | None, session: Session) -> None:
        got = [c.waiter for c in self.callers if c.waiter.given is session]
        assert got == ([first] if first is not None else []), "not the first in line"

    @invariant()
    def each_connection_is_in_exactly_one_place(self) -> None:
        shelves = {id(s.shelf): s.shelf for s in self.made}.values()
        idle = [s for shelf in shelves for s in shelf.idle]
        given = [c.waiter.given for c in self.callers if c.waiter.given is not None]
        places = Counter(id(s) for s in [*idle, *self.lent, *given, *self.closed])
        assert places == Counter(id(s) for s in self.made)
        in_flight = Counter(id(s.shelf) for s in [*self.lent, *given])
        for shelf in {id(s): s for s in [*shelves, *self.book.shelves.values()]}.values():
            assert shelf.in_flight == in_flight[id(shelf)]
            assert shelf.open == {s for s in self.made if s.shelf is shelf and s not in self.outside} - set(self.closed)

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "book"):
            return
        opened = [s for s in self.made if s not in self.outside and s not in self.closed]
        assert self.book.total == len(opened) + sum(not d.outside for d in self.dials) <= self.book.max_size
        for shelf in self.book.shelves.values():
            assert shelf.dials == sum(d.shelf is shelf for d in self.dials) <= self.book.max_dials
            assert all(s.generation == shelf.generation for s in shelf.idle), "an old generation is idle"
            assert shelf.owing is None or shelf.owing in shelf.open | shelf.outside, "a closed connection is kept alive"

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """In a moment of rest, whoever waits without a timer and a dial of its own has nothing that it could do."""
        assert all(c.waiter in self.woken for c in self.callers if self.has_news(c)), "an event without a wake-up"
        if self.book.closed or any(self.has_news(c) for c in self.callers):
            return
        for caller in self.callers:
            waiter = caller.waiter
            if any(d.waiter is waiter for d in self.dials) or (caller.until or 0.0) < FOREVER / 2:
                continue
            now = dial_plan(self.book, waiter, self.now)
            for node in set(now) & set(caller.plan) - caller.failed:
                shelf = self.book.shelves[node]
                room = shelf.dials < self.book.max_dials and (waiter.outside or self.book.total < self.book.max_size)
                assert not room, f"a waiter sleeps while {node} has room"
            for node in waiter.names if caller.waits_only else ():
                assert not self.book.shelves[node].idle, "one who only waits sleeps beside an idle connection"
                assert self.book.total >= self.book.max_size, "one who only waits sleeps beside room"
                assert waiter.outside or not (shelf.idle and node in waiter.names), "a waiter sleeps beside an idle one"

    def teardown(self) -> None:
        if not hasattr(self, "book"):
            return
        self.act(self.book.close())
        self.deliver_all()
        assert not self.callers, "close wakes everybody"
        while self.dials:
            dial = self.dials.pop()
            self.act(self.book.dial_failed(dial.shelf, RuntimeError("closed"), self.now, dial.waiter))
        for session in [s for s in self.lent if s not in self.outside]:
            self.lent.remove(session)
            self.act(self.book.give_back(session, self.now))
        assert set(self.made) - set(self.lent) == set(self.closed)
        assert self.book.total == self.book.in_flight == 0


TestPool = PoolModel.TestCase
TestPool.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_budget_never_exceeds_its_ratio_and_reserve() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        ratio, reserve = rng.choice([0.0, 0.1, 0.2, 1.0]), rng.choice([0.0, 3.0, 10.0])
        budget, operations, spent, now = Budget(ratio, reserve), 0, 0, 0.0
        for _ in range(400):
            if rng.random() < 0.5:
                many = rng.randrange(1, 4)
                budget.earn(many, now := now + rng.random())
                operations += many
            else:
                spent += budget.spend()
            assert spent == budget.spent <= ratio * operations + reserve + 1e-6


def test_budget_counts_what_it_refused_and_earns_a_fifth() -> None:
    budget = Budget()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
    assert (budget.spent, budget.refused) == (10, 2)
    budget.earn(5, 1.0)
    assert (budget.spend(), budget.spend()) == (True, False)
    budget.earn(100, 1001.0)
    budget.earn(0, 2001.0)
    assert sum(budget.spend() for _ in range(100)) == 10, "after a while no more than the reserve is saved up"
    assert "refused=" in repr(budget)


def test_budget_affords_the_loss_of_a_node_that_was_busy() -> None:
    """The pool's connections may all have a statement under way there: more than the reserve."""
    budget = Budget()
    for second in range(10):
        budget.earn(50, float(second))
    assert sum(budget.spend() for _ in range(1000)) == 76, (
        "the reserve, and what the last seconds have earned, the older the less"
    )


def test_two_nodes_are_both_dialled_by_round_robin() -> None:
    """A checkout that finds nothing idle dials the node it picked, so that a cold pool spreads over both."""
    view = View(writer="any")
    for node in ("a", "b"):
        view = observe(observe(view, Added(node), 0.0), Answered(node, Report(Role.PRIMARY)), 0.0)
    book = Book(10, 2, policy("round-robin"), random.Random(1).random)
    book.adopt(view)
    order: deque[str] = deque()
    for _ in range(4):
        assert book.take(Want(), 1.0) is None
        waiter = Waiter(Want())
        book.enqueue(waiter)
        first = dial_plan(book, waiter, 1.0)[0]
        _, actions = book.begin_dial(first, waiter)
        assert actions.dial is not None
        order.append(first)
        session = Session(object(), actions.dial, actions.dial.generation)
        book.dialled(session, 0.01, 1.0, waiter)
    assert list(order) == ["a", "b", "a", "b"]


def test_room_at_a_node_is_passed_on_by_a_waiter_who_leaves() -> None:
    """Found in review: the first was told of the room, timed out, and the second slept on beside it."""
    view = observe(observe(View(), Added("a"), 0.0), Answered("a", Report(Role.PRIMARY)), 0.0)
    book = Book(10, 1, policy("random"), random.Random(1).random)
    book.adopt(view)
    first, second, third = Waiter(Want()), Waiter(Want()), Waiter(Want())
    for waiter in (first, second, third):
        book.enqueue(waiter)
    assert [book.begin_dial("a", w)[0] for w in (first, second, third)] == [True, False, False]
    assert book.dial_failed(book.shelves["a"], OSError(), 1.0, first).wake == [first, second]
    assert book.withdraw(second)[1].wake == [third]
