"""The documentation as data: pages, code blocks, tables and links; and how code blocks become programs.

Before each block of Python stands a comment that readers of the page do not see.

``<!-- run: postgres -->``       The blocks of a page with the same word are one program, in their order on the page.
The word says what it
                                 needs: ``postgres`` or ``galera`` (three nodes), ``sqlite`` or ``nothing``.
``<!-- run: postgres again -->`` The same, but a new program begins here; any second word names it.
``<!-- run: postgres await -->`` The program awaits at its top level (`awaiting`).
``<!-- run: pytest -->``         A test file: pytest runs it, in a program of its own.
``<!-- not run: why -->``        Not run; the reason is part of the page.

The pages use the hosts ``db1``, ``db2`` and ``db3``, the user ``app``, the password ``secret`` and the database
``shop``.  Host, port and database are replaced by those of the servers that the fixtures start (`located`); nothing
else is changed.  What a line prints stands behind it after ``# -> ``, and must be what the program prints, line by
line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]*?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_OUTPUT = re.compile(r"#\s*-> (.*)$", re.MULTILINE)


@dataclass
class Program:
    """What is run: some blocks of one page.  ``needs``: postgres, galera, sqlite, nothing or pytest."""

    page: str
    name: str
    needs: str
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The program."""
        return "\n".join(self.texts)

    @property
    def awaits(self) -> bool:
        """Whether it awaits at its top level."""
        return self.name.split()[1:] == ["await"]

    @property
    def output(self) -> list[str]:
        """What it says that it prints."""
        return [line.strip() for line in _OUTPUT.findall(self.text)]


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment before it."""

    page: str
    language: str
    marker: str | None
    text: str


def pages() -> dict[str, str]:
    """Every page by its path from the root of the repository."""
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def blocks(language: str | None = None) -> Iterator[Block]:
    """Every fenced block, or those of one language."""
    for page, text in pages().items():
        for match in _BLOCK.finditer(text):
            if language in (None, match["language"]):
                yield Block(page, match["language"], match["marker"], match["text"])


def programs() -> list[Program]:
    """Every program on the pages."""
    found: dict[tuple[str, str], Program] = {}
    for block in blocks("python"):
        if block.marker and block.marker.startswith("run: "):
            name = block.marker.removeprefix("run: ")
            program = found.setdefault((block.page, name), Program(block.page, name, name.split()[0]))
            program.texts.append(block.text)
    return list(found.values())


def located(text: str, port: Callable[[str], int]) -> str:
    """Return a program with the real host, port and database in it; ``port`` tells the port of node n1, n2 or n3."""
    text = re.sub(r"\bdb([123]):(?:5432|3306)/shop\b", lambda m: f"127.0.0.1:{port('n' + m[1])}/app", text)
    text = re.sub(r'\bhost="db([123])"', lambda m: f'host="127.0.0.1", port={port("n" + m[1])}', text)
    text = re.sub(r'"db([123]):(?:5432|3306)"', lambda m: f'"127.0.0.1:{port("n" + m[1])}"', text)
    return text.replace('database="shop"', 'database="app"').replace('"NAME": "shop"', '"NAME": "app"')


def links(page: str) -> Iterator[str]:
    """The targets of a page's links."""
    text = re.sub(r"```.*?```", "", pages()[page], flags=re.DOTALL)
    yield from _LINK.findall(text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table after ``heading``, its head first, without the line of dashes."""
    lines = text.split(heading, 1)[1].lstrip("\n").split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return [row for row in rows if not set("".join(row)) <= set("-: ")]
