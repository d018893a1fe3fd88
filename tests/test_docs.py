"""README and docs: keys, commands, examples and links are those of the code; the site builds."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from omegaconf import OmegaConf

from dcvsr.models import loaded
from dcvsr.runtime.options import is_group, options
from tests.conftest import Compose, Run
from tests.test_readme_commands import LINES  # Tested there.

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
CODE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""Language, title and content of a block of code."""
WORDS = 1100
"""Words that README may have before its table of paper and code."""


def _tables() -> dict[str, dict[str, list[str]]]:
    """Command line -> key -> values, from the tables of configuration.md."""
    tables: dict[str, dict[str, list[str]]] = {}
    for row in (ROOT / "docs/configuration.md").read_text().splitlines():
        if found := re.fullmatch("<!-- keys of: (.+) -->", row):
            rows = tables.setdefault(found[1], {})
        if row.startswith("| `"):
            (key,), values = (re.findall("`([^`]+)`", cell) for cell in row.split("|")[1:3])
            rows[key] = values
    return tables


@pytest.mark.parametrize("line", _tables())
def test_first_documented_value_of_a_key_is_its_default(composed: Compose, line: str) -> None:
    [job] = composed(line)
    cfg = OmegaConf.create(json.loads(job))
    groups = {key: values for key, values in _tables()[line].items() if is_group(key)}
    assert [job] == composed(" ".join([line, *(f"{key}={values[0]}" for key, values in groups.items())]))
    for key, values in _tables()[line].items():
        if key in groups:
            assert set(values) <= set(options(key)), key
        else:
            default = OmegaConf.select(cfg, key, default=KeyError)
            assert default == OverridesParser.create().parse_override(f"{key}={values[0]}").value(), key


@pytest.mark.parametrize("line", _tables())
def test_documented_values_are_all_that_a_constructor_takes(composed: Compose, line: str) -> None:
    cfg = OmegaConf.create(json.loads(*composed(line)))
    for key, values in _tables()[line].items():
        parent, _, name = key.rpartition(".")
        target = OmegaConf.select(cfg, f"{parent}._target_") if parent else None
        parameters = signature(get_object(target)).parameters if target else {}
        if name in parameters and get_origin(choices := parameters[name].annotation) is Literal:
            assert set(values) == set(get_args(choices)), key


def _lines() -> Iterator[str]:
    """Yield the arguments of each dcvsr command in README and docs, once."""
    seen = set()
    for page in [README, *PAGES]:
        for language, _, block in CODE.findall(page.read_text()):
            joined = block.replace("\\\n", " ") if language in ("", "sh") else ""
            for line in joined.splitlines():
                if found := re.match(r"\$? ?dcvsr (\w[^#]*?)\s*(#|$)", line):
                    seen.add(found[1])
    return iter(sorted(seen))


@pytest.mark.parametrize("line", [line for line in _lines() if line not in LINES])
def test_documented_command_composes(composed: Compose, line: str) -> None:
    assert composed(line)


def _examples() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield heading and code of each section of extending.md."""
    for section in (ROOT / "docs/extending.md").read_text().split("\n## ")[1:]:
        yield section.partition("\n")[0], CODE.findall(section)


@pytest.mark.parametrize(("name", "code"), _examples())
def test_example_of_an_extension_runs(
    name: str,
    code: list[tuple[str, str, str]],
    run: Run,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    command = ""
    for language, title, content in code:
        if language == "bash":
            command = content
        else:
            (tmp_path / title).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / title).write_text(content)
    assert sum(len(content.splitlines()) for _, _, content in code) < 40
    _, _, module, *arguments = command.split()
    others = [] if "upscale" in module else ["data=synthetic", "wandb=none", "hydra.run.dir=run"]
    done = run(module.removeprefix("dcvsr."), *arguments, *others)
    assert done.code == 0, done.err
    if others:
        assert (tmp_path / "run/results.csv").read_text().count("\n") > 1
    else:
        assert (tmp_path / "big.mp4").exists()


def test_python_example_of_the_readme_runs(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [example] = [content for language, _, content in CODE.findall(README.read_text()) if language == "python"]
    assert len(example.splitlines()) <= 6
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    scope: dict[str, Any] = {}
    exec(example, scope)
    assert scope["hr"].shape == (3, 3, 80, 96)


def test_python_page_runs(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With bicubic upsampling in place of the model, which test_load.py runs."""
    load = loaded.load

    def bicubic(*names: str, overrides: Sequence[str] = (), **arguments: Any) -> loaded.LoadedUpscaler:
        return load(*names, overrides=[*overrides, "upscaler=bicubic"], **arguments)

    monkeypatch.setattr(loaded, "load", bicubic)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    scope: dict[str, Any] = {}
    for language, _, content in CODE.findall((ROOT / "docs/python.md").read_text()):
        assert language == "python"
        exec(content, scope)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "big.mp4", "part.mp4", "chunks.mp4"}
    printed = capsys.readouterr().out
    assert printed
    assert printed.strip() in (ROOT / "docs/python.md").read_text()


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in _tracked("*.md")])
def test_links_and_paths_lead_somewhere(page: str) -> None:
    """Relative links, and paths in backquotes such as ``conf/paper``; mkdocs checks anchors."""
    text = CODE.sub("", (ROOT / page).read_text())
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    paths = re.findall(r"`((?:dcvsr|conf|examples|experiments|tests|docs|benchmarks)/[\w./-]*)`", text)
    dead = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not dead + [path for path in paths if not (ROOT / path).exists()]


def test_readme_is_short() -> None:
    before, table, _ = README.read_text().partition("## Paper to code")
    assert table
    assert len(before.split()) <= WORDS


def test_functions_of_the_paper_s_table_are_in_their_modules() -> None:
    rows = README.read_text().partition("## Paper to code")[2].partition("\n## ")[0]
    for path, names in re.findall(r"\]\((dcvsr/[\w/]+\.py)\)((?:[:,] `\w+`)+)", rows):
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(?:def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE), (
                path,
                name,
            )


def test_site_builds_strictly(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/paper_notes/index.html").is_file()
