"""Built HTML pages as a reader and as a link checker see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Page(HTMLParser):
    """What a page says, what it points to, what can be pointed to."""

    code: set[str] = field(default_factory=set)
    """Texts set as code, inline or in blocks, with single spaces."""
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self._code_depth = 0
        self._pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if identifier := attributes.get("id"):
            self.anchors.add(identifier)
        target = attributes.get("href" if tag in {"a", "link"} else "src")
        if target:
            self.links.append(target)
        if tag in {"code", "pre"}:
            self._code_depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in {"code", "pre"} and self._code_depth:
            self._code_depth -= 1
            if not self._code_depth:
                self.code.add(" ".join("".join(self._pieces).split()))
                self._pieces.clear()

    def handle_data(self, data: str) -> None:
        if self._code_depth:
            self._pieces.append(data)


@dataclass(frozen=True)
class Site:
    """A folder of built pages."""

    folder: Path

    def page(self, name: str) -> Page:
        """The page of ``name``, for example ``reference/errors``."""
        return _read(self.folder / f"{name}.html")

    def pages(self) -> list[Path]:
        return sorted(self.folder.rglob("*.html"))

    def dead_links(self) -> list[str]:
        """Links within the site to a file or an anchor that is not there."""
        return [
            f"{page.relative_to(self.folder)} -> {link}"
            for page in self.pages()
            for link in _read(page).links
            if not self._resolves(page, link)
        ]

    def _resolves(self, page: Path, link: str) -> bool:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return True
        target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
        if not target.is_file():
            return False
        return not parts.fragment or target.suffix != ".html" or parts.fragment in _read(target).anchors


@cache
def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page
