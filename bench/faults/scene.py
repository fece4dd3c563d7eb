"""What a fault is, and the scene in which it happens: servers, the ways to them, and the programs that use them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clustersql.core.view.node import Node
from clustersql.testing import FaultProxy, Network

if TYPE_CHECKING:
    from .program import Program

Act = Callable[["Scene"], object]


def unusable(node: Node) -> bool:
    """Return whether a node gets no work; the usual sign that a fault was noticed."""
    return not node.usable


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, or is done on purpose."""

    name: str
    """By which it is chosen."""
    title: str
    """What happens, as the page says it."""
    act: Act
    """Does it, and stamps by `Scene.fault` when."""
    node: str | None
    """The one that it happens to, and that the view is to take out; None: none is to blame."""
    reads: str = "n2"
    """The node that reads prefer."""
    slow: str = "n3"
    """A live node, on which a slow statement must survive."""
    bare: tuple[str, ...] = ("n2", "n3")
    """Nodes that writes of the bare driver can reach, which tell how long the cluster itself takes."""
    before: Act | None = None
    """Prepares it before the programs begin."""
    after: Act | None = None
    """Ends it when the programs have recovered."""
    noticed: Callable[[Node], bool] = unusable
    """Tells of the node whether the view has taken it out."""
    down: str | None = None
    """The node that ``before`` leaves down."""
    heed: float = 0.0
    """Seconds that a run waits for it to be noticed, where that hurries nobody."""
    way: str = "direct"
    """How programs reach the servers: directly, through a ``proxy``, or over a ``network`` that drops packets."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Those of the programs under this fault only."""
    writing: Mapping[str, Any] = field(default_factory=dict)
    """Options of writes under this fault only."""
    clean: bool = False
    """Whether no error at all may be seen."""
    runs: int = 9
    """How often it is played at most."""


@dataclass
class Scene:
    """One run.  Moments are of the monotonic clock, in seconds."""

    servers: Any
    programs: list[Program]
    proxies: dict[str, FaultProxy]
    network: Network | None
    began: float = 0.0
    over: float = 0.0

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Stamp when the fault began, and when its effect was complete."""
        self.began = self.over = time.monotonic()
        yield
        self.over = time.monotonic()

    def heal(self) -> None:
        """Let every way pass and every node go on: what hangs in a driver would never end."""
        for proxy in self.proxies.values():
            proxy.heal()
        if self.network is not None:
            self.network.heal()
        for name in self.servers.nodes:
            self.servers.thaw(name)

    def drain(self, node: str) -> None:
        """Let every program drain a node, and wait until it holds no connection there."""
        for program in self.programs:
            program.cluster.drain(node)
        wait_until(lambda: not any(program.open_on(node) for program in self.programs), f"{node} is empty")

    def undrain(self, node: str) -> None:
        """Let every program use the node again, and wait until it does."""
        for program in self.programs:
            program.cluster.undrain(node)
        wait_until(lambda: all(p.cluster.view.by_name[node].usable for p in self.programs), f"{node} is used")


def does(verb: str, *arguments: Any, then: Act | None = None) -> Act:
    """Return the act by which the servers do that; ``then`` is what the administrator does about it."""

    def act(scene: Scene) -> None:
        with scene.fault():
            getattr(scene.servers, verb)(*arguments)
        if then is not None:
            then(scene)

    return act


def wait_until(condition: Callable[[], bool], what: object, seconds: float = 30.0) -> None:
    """Wait for a condition; raise `TimeoutError` that names it."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)
