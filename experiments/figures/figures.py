"""A figure of the paper, of your clips: ``python experiments/figures/figures.py figure7 --data CLIPS``.

Degrades the clips, restores them by what the figure compares, and draws. What was made before, for this
figure or another, is not made again: other frames or boxes take seconds.
"""

import argparse
import hashlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dcvsr.runtime.cli import fail, refused_value
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json

if TYPE_CHECKING:
    from dcvsr.figures.boxes import Box

HERE = Path(__file__).resolve().parent
NAMES = sorted((path.stem for path in HERE.glob("*/*.yaml")), key=lambda name: (len(name), name))
CANNOT = 2
"""The exit code of a command that lacks what it was asked to use."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("name", choices=NAMES)
    add("--data", type=Path, metavar="FOLDER", help="HR clips: videos, or folders of frames")
    add("--lr", type=Path, metavar="FOLDER", help="in its place: real LR clips, whose truth nobody knows")
    add("--scale", choices=("nano", "svd"), default="nano")
    add("--degradation", help="of HR clips: realbasicvsr, light or bicubic; if not given, the scale's own")
    add("--results", type=_result, nargs="+", default=[], metavar="LABEL=FOLDER", help="made elsewhere")
    add("--without", nargs="+", default=[], metavar="LABEL", help="columns to leave out")
    add("--frames", type=_numbers, help="as in 0,11,-1; if not given, where the figure looks")
    add("--box", type=_box, nargs="+", metavar="LEFT,TOP,WIDTH,HEIGHT", help="in HR pixels; likewise")
    add("--overrides", nargs="+", default=[], help="of python -m dcvsr.evaluate, such as ckpt=FILE")
    add("--output", type=Path, default=Path("outputs/figures"), metavar="FOLDER")
    add("--dry-run", action="store_true", help="say what would be run, and stop")
    return parser.parse_args(argv)


def _result(text: str) -> tuple[str, Path]:
    label, equals, folder = text.partition("=")
    if not (label and equals and folder):
        raise argparse.ArgumentTypeError(f"{text} is no LABEL=FOLDER")
    return label, Path(folder)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers such as 0,11") from error


def _box(text: str) -> "Box":
    from dcvsr.figures.boxes import Box

    numbers = _numbers(text)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text} is not left,top,width,height")
    return Box(*numbers)


def specification(asked: argparse.Namespace) -> Any:
    """The figure of that name, changed as asked.

    Raises:
        UserError: if its YAML is wrong, or it has nothing of what is to be changed.
    """
    from dcvsr.figures.boxes import GivenBoxes, GivenFrames

    path = HERE / asked.name / f"{asked.name}.yaml"
    try:
        figure = instantiate(OmegaConf.load(path), _convert_="all").without(asked.without)
    except InstantiationException as error:
        raise UserError(f"{path}: {refused_value(error) or error}") from error
    places: dict[str, Any] = {}
    if asked.frames is not None:
        places["frames"] = GivenFrames(asked.frames)
    if asked.box is not None:
        places["boxes"] = GivenBoxes(asked.box)
    for place in places:
        if not hasattr(figure, place):
            raise UserError(f"{asked.name} shows clips as a whole: it has no {place} to choose")
    if taken := [label for label, _ in asked.results if label in {**figure.rivals, **figure.results}]:
        raise UserError(f"{asked.name} has a column {taken[0]} of its own; call yours another name")
    return replace(figure, **places)


def pairs(asked: argparse.Namespace) -> tuple[list[Path], list[str]]:
    """LR, the truth if it is known, and the overrides that name them; an LR set is made, or completed.

    Raises:
        UserError: if not exactly one of --data and --lr is given, or it is not a folder.
    """
    if (asked.data is None) == (asked.lr is None):
        raise UserError(f"{asked.name} needs --data FOLDER, HR clips; or --lr FOLDER, real video")
    given = (asked.lr or asked.data).resolve()
    if not given.is_dir():
        raise UserError(f"{given}: no such folder; name one of videos, or of folders of frames")
    chosen = [f"scale={asked.scale}", "degradation=none", f"data.path={given}"]
    if asked.lr:
        return [given], [*chosen, "data=videolq", "~data.requires"]
    option = asked.degradation or asked.scale
    lr = asked.output.resolve() / "lr" / f"{given.name}_{option}_{_digest([str(given)])}"
    made = [f"input={given}", f"output={lr}", f"degradation={option}", "metrics=none"]
    if code := dcvsr("degrade", made, asked):
        sys.exit(code)
    return [lr, given], [*chosen, "data=pairs", f"data.lr={lr}"]


def runs(asked: argparse.Namespace, figure: Any, data: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The folder of each result's run by its label, as soon as it is there.

    A rival that cannot run is left out; anything else that goes wrong ends it all.
    """
    for label, overrides in {**figure.rivals, **figure.results}.items():
        made = [*data, *figure.settings, *overrides, *asked.overrides]
        slug = re.sub(r"\W+", "_", "_".join(overrides))
        folder = asked.output.resolve() / "runs" / f"{slug}_{_digest(made)}"
        if (folder / "summary.json").is_file():
            print(f"{label}: {folder} is there already")
            yield label, folder
            continue
        code = dcvsr(figure.command, [*made, f"hydra.run.dir={folder}"], asked)
        if code == CANNOT and label in figure.rivals:
            print(f"{label} is left out", file=sys.stderr)
        elif code:
            sys.exit(code)
        else:
            yield label, folder


def dcvsr(command: str, overrides: Sequence[str], asked: argparse.Namespace) -> int:
    """Print and, unless it is a dry run, run ``python -m dcvsr.<command> ...``; gives its exit code."""
    print(f"$ python -m dcvsr.{command} {shlex.join(overrides)}", flush=True)
    if asked.dry_run:
        return 0
    return subprocess.run([sys.executable, "-m", f"dcvsr.{command}", *overrides], check=False).returncode


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def require_one_checkpoint(made: Mapping[str, Path]) -> None:
    """Raises UserError if runs are of several: one may have been trained since the first of them."""
    weights = [read_json(run / "summary.json")["weights"] for run in made.values()]
    files = {entry["sha256"]: str(entry["file"]) for entry in weights if entry}
    if len(files) > 1:
        folder = next(iter(made.values())).parent
        raise UserError(
            f"results are of several weights, {', '.join(files.values())}: move {folder} away, or name one "
            "with --overrides ckpt=FILE"
        )


def draw(asked: argparse.Namespace, figure: Any, made: Mapping[str, Path], sources: Sequence[Path]) -> None:
    """``sources`` are LR and the truth, as far as there are any."""
    from dcvsr.data.folders import folder_of_clips
    from dcvsr.figures.exhibits import exhibits

    cache = asked.output / "cache"
    require_one_checkpoint({label: run for label, run in made.items() if label in figure.results})
    ours = {label: figure.kept(run, cache) for label, run in made.items()}
    theirs = {label: folder_of_clips(folder, cache) for label, folder in asked.results}
    rivals = {label: clips for label, clips in ours.items() if label in figure.rivals}
    given = [folder_of_clips(source, cache) for source in sources]
    shown = exhibits({**rivals, **theirs, **ours}, *given)
    for path in figure.write(asked.output / asked.name, shown):
        print(path)


def main(argv: Sequence[str] | None = None) -> None:
    asked = arguments(argv)
    try:
        figure = specification(asked)
        sources, data = pairs(asked) if figure.needs_clips else ([], [])
        made = dict(runs(asked, figure, data))
        if not asked.dry_run:
            draw(asked, figure, made, sources)
    except UserError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
