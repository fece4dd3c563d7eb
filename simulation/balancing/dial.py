"""One dial or probe of the third face, and the network that it goes through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clustersql.config.knobs import Knobs
from clustersql.core.steps import Ask, Connect, LetGo, Step, Steps
from clustersql.core.view.probe import Probe

from .clock import Clock
from .drive import LATER, Task
from .driver import Lost
from .server import Link, Server


class Network:
    """What one client sees of the servers: itself, and how far away they are."""

    def __init__(self, clock: Clock, servers: Mapping[str, Server], rtt: Mapping[str, float]) -> None:
        self.clock = clock
        self.servers = servers
        self.rtt = rtt


def dial(name: str) -> Steps[Probe]:
    """Connect to a node, for the pool."""
    answer: Probe = yield Connect(name)
    return answer


class Attempt:
    """One dial or probe under way, as `sync.dial.Attempt`."""

    def __init__(
        self,
        network: Network,
        settings: Knobs,
        name: str,
        steps: Steps[Probe],
        ended: Callable[[Attempt], object],
        patience: float,
    ) -> None:
        self.name = name
        self.began = network.clock.now
        self.patience = patience
        self.deadline = self.began + patience
        self.seconds = 0.0
        self.result: Any = None
        self.error: BaseException | None = None
        self.raised: Any = None
        self.let_in = self.late = self.settled = False
        self.held: Any = None
        self._network = network
        self._settings = settings
        self._serial = network.clock.serial()
        self._ended = ended
        self._task = Task(steps, self._perform, self._settle)

    def __hash__(self) -> int:
        return self._serial  # a set of them is gone through in the same order in each run

    def start(self) -> None:
        """Begin."""
        self._task.resume()

    def heed(self, now: float, most: float) -> None:
        """Who is silent here has sent nothing."""

    def abandon(self) -> None:
        """Stop waiting for it."""
        self.late = True
        self._settle(TimeoutError(f"node {self.name!r} did not answer within {self.patience:g} s"))

    def _perform(self, step: Step, task: Task) -> Any:
        match step:
            case Connect(name):
                self._network.servers[name].connect(self._network.rtt[name], self._connected)
            case Ask(raw):
                raw.ask(lambda heard: task.resume(raw.server.report, None if heard else Lost()))
            case LetGo(raw):
                raw.close()
                self.patience = self._settings.connect_timeout
                self.deadline = self._network.clock.now + self.patience
                return not self.settled
        return LATER

    def _connected(self, link: Link | None) -> None:
        self._task.resume(link and Probe(link, link.server.report), None if link else Lost())

    def _settle(self, outcome: Any) -> None:
        if self.settled:
            if isinstance(outcome, Probe):
                outcome.raw.close()
            return
        self.settled, self.seconds = True, self._network.clock.now - self.began
        if isinstance(outcome, Probe):
            self.result = outcome
        else:
            self.error = outcome
        self._ended(self)
