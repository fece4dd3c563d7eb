"""The page of `serve()` in a real browser, while a node is killed.

``SCREENSHOTS=docs/observing`` makes the pictures of the docs, after a minute of work that the plots can show.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from clustersql import Cluster
from clustersql.cli.top.screen import Top
from clustersql.cli.top.source import Program
from clustersql.telemetry.http import Server, serve
from clustersql.testing import PostgresCluster

CHROMIUM = "/usr/bin/chromium"
"""Debian's."""
# As root it has no sandbox, and it sees nothing but our own page; in a container shared memory may be short.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
PATIENCE = 60_000
"""Milliseconds: the browser looks by itself, so this is how long it may take on a machine that is busy."""
PICTURES = os.environ.get("SCREENSHOTS")
SECRET = "Sw0rdf1sh"


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def server(postgres: PostgresCluster) -> Iterator[Server]:
    """The page of a cluster that is at work, and of which somebody holds a connection."""
    cluster = Cluster("shop", driver="psycopg", breaker_base=0.2, breaker_cap=0.5, leak_after=3600)
    for name in postgres.nodes:
        cluster.add_node(name, postgres.dsn(name))
    done = threading.Event()
    db = cluster.open()

    def work() -> None:
        reads = db.options(read_only=True, idempotent=True)
        while not done.wait(0.02):
            with suppress(Exception):  # what becomes of a read while a node dies is another test's
                reads.execute("SELECT 1")

    def hold() -> None:
        with db.connection() as conn:
            conn.execute(f"SELECT '{SECRET}', pg_sleep(0)")
            done.wait()
            conn.rollback()

    threads = [threading.Thread(target=each, name=f"orders-{each.__name__}") for each in (work, work, hold)]
    for each in threads:
        each.start()
    try:
        with serve(clusters=[cluster]) as made:
            yield made
    finally:
        done.set()
        for each in threads:
            each.join()
        cluster.close()
        postgres.heal()


class Windows:
    """Pages in one browser, and what their consoles said."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        self.address = address
        self.said: list[str] = []

    def open(self, width: int, scheme: str) -> Page:
        made = self.browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        made.set_default_timeout(PATIENCE)
        made.on("console", lambda message: self.said.append(message.text))
        made.on("pageerror", lambda error: self.said.append(str(error)))
        made.goto(self.address)
        return made


def test_the_page_follows_a_failure_and_reads_in_light_dark_wide_and_narrow(
    browser: Browser, server: Server, postgres: PostgresCluster
) -> None:
    windows = Windows(browser, f"http://127.0.0.1:{server.port}/")
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(windows.address, timeout=PATIENCE)
    assert plain.inner_text("h2").startswith("shop")
    assert {"n1", "n2", "n3"} <= set(plain.locator("tbody th").all_inner_texts())
    wide = windows.open(1280, "light")
    wide.get_by_text("healthy", exact=True).wait_for()
    wide.get_by_text("SELECT ?, pg_sleep(?)").wait_for()
    if PICTURES:
        wide.wait_for_timeout(60_000)
    postgres.kill("n2")
    wide.get_by_text("kept out: n2").wait_for()
    wide.locator("li", has_text="n2").filter(has_text="is down").first.wait_for()
    assert wide.inner_text("#live").startswith("live, ")
    if PICTURES:
        wide.wait_for_timeout(15_000)
    for name, page in (
        ("wide-light", wide),
        ("wide-dark", windows.open(1280, "dark")),
        ("narrow-light", windows.open(390, "light")),
        ("narrow-dark", windows.open(390, "dark")),
    ):
        page.get_by_text("live, ").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == page.evaluate("innerWidth"), name
        if name in ("wide-light", "narrow-dark"):
            found = Axe().run(page)
            assert found.violations_count == 0, (name, found.generate_report())
        assert SECRET not in page.content()
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"page-{name}.png")
    if PICTURES:
        picture_of_top(browser, windows.address)
    assert windows.said == []
    server.close()
    wide.get_by_text("what is below is old").wait_for()


def picture_of_top(browser: Browser, address: str) -> None:
    async def draw() -> str:
        app = Top([Program(address)])
        async with app.run_test(size=(132, 32)) as pilot:
            await pilot.pause(8)
            return app.export_screenshot()

    drawn: list[str] = []
    thread = threading.Thread(target=lambda: drawn.append(asyncio.run(draw())))  # Playwright has the loop of this one
    thread.start()
    thread.join()
    page = browser.new_page(viewport={"width": 1280, "height": 700})
    page.set_content(f"<body style='margin:0'>{drawn[0]}")
    page.locator("svg").screenshot(path=Path(str(PICTURES)) / "top.png")
