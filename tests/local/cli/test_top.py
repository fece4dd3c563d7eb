"""``clustersql top``: what the screen shows and does, by Textual's pilot, and once on a terminal."""

from __future__ import annotations

import asyncio
import copy
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.commands import COMMAND
from support.waiting import eventually
from textual.events import Key
from textual.widgets import DataTable, Input, Static

from clustersql import Cluster, ConfigError
from clustersql.cli.top.screen import Top
from clustersql.cli.top.source import Clusters, Program, told
from clustersql.cli.top.texts import bar
from clustersql.reports.live import State
from clustersql.telemetry.http import serve

WIDE = (140, 40)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster("books", driver="sqlite3", failover_probe=0.02)
    for name in ("a", "b"):
        cluster.add_node(name, database=str(tmp_path / "books.db"))
    cluster.open()
    assert eventually(lambda: all(node.state == "up" for node in cluster.snapshot().nodes))
    yield cluster
    cluster.close()


def run(app: Top, act: Callable[[], Coroutine[Any, Any, None]], size: tuple[int, int] = WIDE) -> None:
    async def main() -> None:
        async with app.run_test(size=size):
            await there(lambda: app.query_one("#nodes", DataTable).row_count > 0)
            await act()

    asyncio.run(main())


async def there(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds, for as long as the test may take.  Textual's own waiting, until a process is idle,
    takes a second wherever others are at work.
    """
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.01)


def press(app: Top, key: str, character: str | None = None) -> None:
    app.post_message(Key(key, character))


def column(app: Top, place: int) -> list[str]:
    table = app.query_one("#nodes", DataTable)
    return [str(table.get_row_at(i)[place]) for i in range(table.row_count)]


def said(app: Top, where: str) -> str:
    return str(app.query_one(where, Static).render())


def headings(app: Top) -> list[str]:
    return [str(each.label) for each in app.query_one("#nodes", DataTable).ordered_columns][:2]


READY = ["● ready", "● ready"]


def test_it_shows_nodes_holders_and_events(cluster: Cluster) -> None:
    app = Top([Clusters([cluster])], every=0.1)

    async def act() -> None:
        assert (column(app, 0), column(app, 2)) == (["a", "b"], READY)
        assert "books  ● healthy  a can serve as primary; all nodes are well" in said(app, "#head")
        cluster.drain("b")
        await there(lambda: column(app, 2) == ["● ready", "● draining"])
        await there(lambda: "drain b" in said(app, "#events"))
        press(app, "down")
        await there(lambda: said(app, "#why") == "b  drained by the operator")
        with cluster.open().connection() as conn:
            conn.execute("SELECT 'Sw0rdf1sh'")
            await there(lambda: "SELECT ?" in said(app, "#holders"))
        await there(lambda: said(app, "#holders") == "nobody")
        cluster.undrain("b")

    run(app, act)


def test_keys_sort_filter_pause_and_turn_it_light(cluster: Cluster) -> None:
    app = Top([Clusters([cluster])], every=0.1)

    async def act() -> None:
        await there(lambda: said(app, "#why").startswith("a "))
        press(app, "r")
        await there(lambda: column(app, 0) == ["b", "a"])
        await there(lambda: headings(app) == ["node ▲", "role"])
        assert said(app, "#why").startswith("a "), "the mark stays on its node"
        press(app, "r")
        press(app, "s")
        await there(lambda: headings(app) == ["node", "role ▼"])
        press(app, "slash")
        await there(lambda: app.focused is app.query_one("#filter", Input))
        for key, character in (("b", "b"), ("space", " "), ("p", "p")):
            press(app, key, character)
        await there(lambda: column(app, 0) == ["b"])
        press(app, "escape")
        await there(lambda: column(app, 0) == ["a", "b"])
        assert app.query_one("#filter", Input).value == ""
        press(app, "d")
        await there(lambda: app.theme == "textual-light")
        press(app, "p")
        await there(lambda: said(app, "#head").startswith("PAUSED"))
        cluster.drain("b")
        await asyncio.sleep(0.3)
        assert column(app, 2) == READY
        press(app, "p")
        await there(lambda: column(app, 2) == ["● ready", "● draining"])
        press(app, "q")
        await there(lambda: not app.is_running)

    run(app, act)


class Once:
    """A source that answers a state of before, changed, and then hangs until it is let go."""

    name = ""

    def __init__(self, states: Sequence[State]) -> None:
        self.states = states
        self.asked = 0
        self.free = threading.Event()

    def read(self) -> Sequence[State]:
        self.asked += 1
        if self.asked > 1:
            assert self.free.wait(60)
        return self.states


def test_a_source_that_hangs_is_asked_once_and_what_a_server_said_steers_no_terminal(cluster: Cluster) -> None:
    [now] = copy.deepcopy(Clusters([cluster]).read())
    now["events"].append({"at": 1e9, "kind": "node", "node": "a", "text": "\x1b[2Jgone\r\x07"})
    now["snapshot"]["nodes"][0].update(last_error="x" * 60 + "\x1b]0;evil", since="2001-09-09T01:46:40+00:00")
    source = Once([now])
    app = Top([source, Other(cluster)], every=0.1)

    async def act() -> None:
        await there(lambda: app.query_one("#nodes", DataTable).row_count == 4)
        await there(lambda: source.asked == 2)
        cluster.drain("b")
        await there(lambda: "● draining" in column(app, 3))
        assert source.asked == 2
        assert "\x1b" not in said(app, "#events") + said(app, "#why") + "".join(column(app, 12))
        assert " [2Jgone" in said(app, "#events")
        assert "x" * 47 + "…" in column(app, 12)
        source.free.set()

    run(app, act, size=(80, 24))


def test_a_look_that_is_under_way_when_it_is_paused_changes_nothing_and_is_made_again(cluster: Cluster) -> None:
    [before] = Clusters([cluster]).read()
    cluster.drain("b")
    source = Once([before])
    app = Top([source], every=0.05)

    async def act() -> None:
        await there(lambda: source.asked == 2)
        source.states = Clusters([cluster]).read()
        press(app, "p")
        await there(lambda: said(app, "#head").startswith("PAUSED"))
        source.free.set()
        await there(lambda: not app._reading)
        assert (column(app, 2), said(app, "#head")[:6], source.asked) == (READY, "PAUSED", 2)
        press(app, "p")
        await there(lambda: column(app, 2) == ["● ready", "● draining"])
        assert source.asked > 2

    run(app, act)
    cluster.undrain("b")


class Other(Clusters):
    """The same cluster, as another program would tell of it."""

    name = "other"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__([cluster])


def test_programs_are_watched_by_their_urls_and_one_that_is_gone_is_named(cluster: Cluster) -> None:
    server = serve(clusters=[cluster])
    with serve(clusters=[cluster]) as other:
        urls = [f"http://127.0.0.1:{each.port}" for each in (server, other)]
        app = Top([Program(each) for each in urls], every=0.1)

        async def act() -> None:
            await there(lambda: len(column(app, 0)) == 4)
            assert set(column(app, 0)) == {f"books at 127.0.0.1:{each.port}" for each in (server, other)}
            await asyncio.to_thread(server.close)
            await there(lambda: f"127.0.0.1:{server.port}: " in said(app, "#head"))
            assert len(column(app, 0)) == 4

        run(app, act)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://app:Sw0rdf1sh@x:80", "http://x:port"])
def test_what_is_no_url_is_a_clear_error(url: str, cli: Callable) -> None:
    ran = cli("top", "--url", url)
    assert (ran.status, ran.out) == (2, "")
    assert "must be like http://127.0.0.1:8080, without a user" in ran.err
    assert "Sw0rdf1sh" not in ran.err


def test_a_url_of_something_else_and_of_nothing(cli: Callable, cluster: Cluster) -> None:
    with serve(clusters=[cluster]) as server:
        ran = cli("top", "--url", f"127.0.0.1:{server.port}/livez")
        assert ran.status == 2
        assert "404" in ran.err or "Not Found" in ran.err
        ran = cli("top", "--url", f"127.0.0.1:{server.port}")
        assert (ran.status, ran.err.count("\n")) == (2, 1)
        assert "top draws on a terminal, and this is none" in ran.err
    ran = cli("top", "--url", f"http://127.0.0.1:{server.port}")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert f"127.0.0.1:{server.port}: " in ran.err
    with pytest.raises(ConfigError, match="leave the file and its options out"):
        cli("--debug", "top", "x.toml", "--url", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("share", "text"), [(0, "           0%"), (0.5, "████      50%"), (0.07, "▌          7%"), (1, "████████ 100%")]
)
def test_a_share_is_drawn_as_a_bar(share: float, text: str) -> None:
    assert bar(share) == text


def test_an_answer_that_cannot_be_drawn_is_none(cluster: Cluster) -> None:
    [good] = Clusters([cluster]).read()
    assert told({"clustersql": "1", "clusters": [good]}) == [good]
    broken = [
        {},
        [],
        None,
        good | {"events": [{"at": "x"}]},
        good | {"snapshot": {"cluster": "x"}},
        good | {"figures": {}},
    ]
    for answer in ([], {}, *({"clustersql": "1", "clusters": [each]} for each in broken)):
        with pytest.raises(ValueError, match="not as serve"):
            told(answer)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(
        f'[clusters.shop]\ndriver = "sqlite3"\n[[clusters.shop.nodes]]\nname = "alone"\ndatabase = "{tmp_path}/a.db"\n'
    )
    return file


def test_without_its_package_the_extra_is_named(config: Path, cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "clustersql.cli.top.screen")
    monkeypatch.setitem(sys.modules, "textual.app", None)
    ran = cli("top", config)
    assert (ran.status, ran.err) == (2, 'clustersql: the screen needs textual: pip install "clustersql[top]"\n')


def test_on_a_terminal_it_draws_and_gives_the_terminal_back_at_ctrl_c(config: Path) -> None:
    ours, its = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(
        [*COMMAND, "top", str(config)], stdin=its, stdout=its, stderr=its, env=environment
    ) as process:
        os.close(its)
        seen, pressed = b"", False
        try:
            while chunk := read(ours):
                seen += chunk
                if not pressed and b"alone" in seen and b"ready" in seen:
                    os.write(ours, b"\x03")
                    pressed = True
            assert process.wait(60) == 0, seen
        finally:
            process.kill()
            os.close(ours)
    assert seen.index(b"\x1b[?1049h") < seen.index(b"alone") < seen.index(b"\x1b[?1049l")
    assert b"Traceback" not in seen


def read(terminal: int) -> bytes:
    """What the program wrote next; b"": it has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux' word for a terminal that nobody has open any more
        return b""
