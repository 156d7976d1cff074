"""The pages of the docs: their links, anchors, tables and blocks of code."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Final

PROJECT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("bench/*.md")]
)


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    heading: str
    columns: list[str]
    rows: list[list[str]]


def text_of(page: str) -> str:
    """Return the text of a page, by its path in the project."""
    return (PROJECT / page).read_text()


def without_code(text: str) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return {slug if not n else f"{slug}-{n}" for slug, count in found.items() for n in range(count)}


def links(text: str) -> Iterator[str]:
    """Yield where a page's links and pictures lead inside the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", without_code(text)):
        where = target[0] or target[1]
        if not re.match(r"[a-z]+:", where):
            yield where


def blocks(text: str, language: str) -> list[str]:
    """Return a page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def tables(page: str) -> list[Table]:
    """Return the tables of a page."""
    found: list[Table] = []
    heading, is_table = "", False
    for line in without_code(text_of(page)).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            is_table = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not is_table:
            found.append(Table(heading, cells, []))
            is_table = True
        elif set(line) - set("|-: "):
            found[-1].rows.append(cells)
    return found


def rows(page: str, *headings: str) -> list[list[str]]:
    """Return the rows of all tables below these headings."""
    return [row for table in tables(page) if table.heading in headings for row in table.rows]


def codes(text: str) -> set[str]:
    """Return what stands in backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def section(page: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its kind."""
    level = re.search(rf"^(#+) {re.escape(heading)}$", text_of(page), re.MULTILINE)
    assert level is not None, heading
    rest = text_of(page)[level.end() :]
    return re.split(rf"^#{{1,{len(level[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
