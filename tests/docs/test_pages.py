"""The documentation holds together, and says nothing that only holds on the machine it was written on."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.checkout import ROOT, tracked_files
from tests.support.pages import Site

RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
GITHUB_PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "images/README.md", "helm-values/README.md"]

ELSEWHERE = [
    # Written in two pieces, or this file would be the first to be found.
    r"\bpypi\." + r"org\b",
    r"pythonhosted\." + r"org\b",
    r"registry\.npmjs\." + r"org\b",
    r"(?<![\w./-])/work" + r"/",
    r"(?<![\w./-])/root" + r"/",
    r"/opt/" + r"wheels\b",
]
"""Hosts that packages come from, and paths of one machine: the installing machine's business, both."""


def test_no_link_within_the_documentation_is_dead(site: Site) -> None:
    assert len(site.pages()) > 20
    assert not site.dead_links()


def test_nothing_is_loaded_from_elsewhere(site: Site) -> None:
    """Pages have to work where there is no internet."""
    for path in site.pages():
        assert not re.findall(r'(?:src|<link[^>]+href)="(?:https?:)?//[^"]*', path.read_text()), path.name


@pytest.mark.parametrize("name", GITHUB_PAGES)
def test_links_of_pages_that_are_read_in_the_repository(name: str) -> None:
    page = ROOT / name
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text())
    for target in (one or other for one, other in targets):
        parts = urlsplit(target)
        if not parts.scheme and parts.path:
            assert (page.parent / parts.path).exists(), target


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "docs/tutorial.md", "docs/how-to/operate.md"]
)
def test_make_targets_that_pages_name_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|[`$])\s*make ([a-z]+)", (ROOT / name).read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_every_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split())
    assert phony == set(re.findall(r"^([a-z]+):.*## ", makefile, flags=re.MULTILINE))
    assert phony >= {"install", "up", "test", "lint", "bench", "docs", "clean"}


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_record_has_its_parts(record: Path) -> None:
    text = record.read_text()
    number = int(record.stem.split("-")[0])
    assert re.match(rf"# {number}\. \S", text), "begins with its number and title"
    assert re.search(r"^Status: \w+\. Date: \d{4}-\d\d-\d\d\.$", text, flags=re.MULTILINE)
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert [name for name in headings if name in {"Motivation", "Decision", "Alternatives and why not"}] == [
        "Motivation",
        "Decision",
        "Alternatives and why not",
    ]


def test_numbers_of_decision_records_are_unique() -> None:
    numbers = [path.stem.split("-")[0] for path in RECORDS]
    assert len(numbers) == len(set(numbers))


def test_no_file_names_a_package_host_or_a_path_of_one_machine() -> None:
    patterns = re.compile("|".join(ELSEWHERE))
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked_files()
        if path.suffix not in {".png", ".ico"}
        for match in [patterns.search(path.read_text(errors="replace"))]
        if match
    ]
    assert not found


def test_every_test_that_the_security_page_names_exists() -> None:
    page = (ROOT / "docs" / "concepts" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 15
    for file, name in named:
        assert re.search(rf"^\s*(?:async )?def {name}\(", (ROOT / file).read_text(), flags=re.MULTILINE), name


def test_every_threat_is_answered() -> None:
    """By a test, or by a line that says why it does not apply."""
    page = (ROOT / "docs" / "concepts" / "security.md").read_text()
    rows = dict(re.findall(r"^\| (T\d+) \|(.*)\|$", page, flags=re.MULTILINE))
    assert list(rows) == [f"T{number}" for number in range(1, 26)]
    assert not [
        threat for threat, row in rows.items() if "`tests/" not in row and "not applicable:" not in row
    ]
