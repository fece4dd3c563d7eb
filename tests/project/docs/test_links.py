"""Links between the pages lead somewhere."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from project.docs.pages import DOCS, ROOT, anchors, links, pages


@pytest.mark.parametrize("page", list(pages()))
def test_links_lead_to_files_and_headings(page: str) -> None:
    broken = [link for link in links(page) if not link.startswith(("https://", "http://")) and not leads(page, link)]
    assert broken == []


def leads(page: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    if not target.resolve().exists():
        return False
    return not anchor or anchor in anchors(target.read_text("utf-8"))


def test_the_index_links_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links("docs/index.md") if "://" not in link}
    missing = [file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md") if file.resolve() not in linked]
    assert missing == ["index.md"]


def test_no_link_leaves_the_repository() -> None:
    for page in pages():
        for link in links(page):
            assert "://" in link or (ROOT / PurePosixPath(page)).parent.joinpath(
                link.partition("#")[0]
            ).resolve().is_relative_to(ROOT)
