"""Rules of structure and prose that a tool can check."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import dcvsr

PACKAGE = Path(dcvsr.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
OPENING = re.compile(r"(What|Which|How|Where|Whether|That)\b")
"""Words that no docstring starts with."""
NEGATION = re.compile(r"(?<!there )\b(is|are|was|were) no (?!longer|more|less|other|better)[a-z]")
"""``X is no Y``, which is written ``X is not a Y``."""


def documented(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module, with those of attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module, f-strings with ``{}`` for their values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_package_has_at_most_28_entries():
    entries = [path.name for path in PACKAGE.iterdir() if path.name not in {"__pycache__", "conf"}]
    assert len(entries) <= 28, sorted(entries)


def test_no_two_modules_share_a_name():
    places = defaultdict(list)
    for path in MODULES:
        if not path.name.startswith("__"):
            places[path.name].append(str(path.parent.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_two_classes_share_a_name():
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_prose_says_what_a_thing_is_or_does(path: Path):
    tree = ast.parse(path.read_text())
    opened = [text.split("\n")[0] for text in documented(tree) if OPENING.match(text.lstrip())]
    negated = [text for text in texts(tree) if NEGATION.search(text)]
    assert opened == [], "a docstring starts with a noun phrase or a verb"
    assert negated == [], "write 'is not a ...'"


@pytest.mark.parametrize(
    ("text", "found"), [("What a thing is.", True), ("Whether it holds.", True), ("Thatched roof.", False)]
)
def test_openings_are_found(text: str, found: bool):
    assert bool(OPENING.match(text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("a.txt is no video", True), ("there is no frame 9 of 8", False), ("is no longer used", False)],
)
def test_negations_are_found(text: str, found: bool):
    assert bool(NEGATION.search(text)) == found
