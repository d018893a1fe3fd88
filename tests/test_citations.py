"""Every citation of docs/paper_notes.md, such as ``spec A16`` or ``spec 5.2``, has an anchor there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "docs/paper_notes.md"
FOLDERS = ("dcvsr", "conf", "experiments", "benchmarks", "tests", "docs", "README.md")
TEXT = {".py", ".yaml", ".md", ".html"}

READING = re.compile(r"\bA([1-9]\d?)(?!\w|\.\d)")
"""``A16`` in any text; ``A12c`` and ``A12 (c)`` name a reading of A12."""
LETTERED = re.compile(r"\bspec\s+A(\d+)[a-z]\b")
SECTION = re.compile(r"\bspec\s+(\d(?:\.\d)?)\b", re.IGNORECASE)


def _files() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if Path(name).suffix in TEXT and Path(name).name != Path(__file__).name:
            yield ROOT / name


def _cited(text: str) -> set[str]:
    """The anchors that ``text`` cites."""
    text = re.sub(r"\n\s*#?\s*", " ", text)  # a citation may be broken over two lines
    readings = {f"a{number}" for pattern in (READING, LETTERED) for number in pattern.findall(text)}
    return readings | {f"s{number.replace('.', '-')}" for number in SECTION.findall(text)}


def test_every_citation_has_an_anchor_in_the_notes() -> None:
    anchors = set(re.findall(r'<a id="([^"]+)"></a>', NOTES.read_text()))
    cited = {path: _cited(path.read_text()) for path in _files()}
    missing = {
        str(path.relative_to(ROOT)): found - anchors for path, found in cited.items() if found - anchors
    }
    assert not missing
    assert sum(bool(found) for found in cited.values()) > 30, "the patterns no longer find the citations"


def test_the_notes_have_each_reading_once() -> None:
    anchors = re.findall(r'<a id="(a\d+)"></a>', NOTES.read_text())
    assert anchors == [f"a{number}" for number in range(1, 30)]


def test_links_within_the_notes_have_an_anchor() -> None:
    text = NOTES.read_text()
    assert set(re.findall(r"\(#([^)]+)\)", text)) <= set(re.findall(r'<a id="([^"]+)"></a>', text))


def test_citations_are_found() -> None:
    cited = _cited(
        "(spec A16), spec A7. spec 2.3, A15).\n    # see spec\n    # 5.2; spec A12c; A100, A4.5, spec 9.9"
    )
    assert cited == {"a16", "a7", "s2-3", "a15", "s5-2", "a12", "s9-9"}
