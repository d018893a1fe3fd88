"""``python -m dcvsr.report``: what runs left behind, gathered into one self-contained HTML page.

The page needs no network and no other file: videos, curves and settings are inside it. How it looks and moves
is report.html's; what it shows comes from ``dcvsr.page``.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from omegaconf import DictConfig, OmegaConf

from dcvsr.cli import command
from dcvsr.errors import UserError
from dcvsr.files import read_json, read_text, write_whole
from dcvsr.page.curve import Curve, curves
from dcvsr.page.formats import comma_separated, latex, markdown
from dcvsr.page.pair import Pair, pair
from dcvsr.page.runs import runs_under
from dcvsr.page.table import Paper, Table, tables

log = logging.getLogger(__name__)

KINDS = {"pairs": dict, "trainings": dict, "settings": list}
"""What the keys must hold; an override can put anything there."""


@command("report")
def main(cfg: DictConfig) -> None:
    """Write a page on what ``pairs``, ``runs``, ``trainings``, ``settings`` name; its tables also as text."""
    named: Any = OmegaConf.to_container(cfg, resolve=True)
    for key, kind in KINDS.items():
        if not isinstance(named[key], kind):
            raise UserError(f"{key}={named[key]} is no {kind.__name__}; --help shows an example")
    trainings, output = folders(named["trainings"]), Path(cfg.output)
    paper = Paper(**named["paper"]) if "paper" in named else None
    compared = tables(runs_under(Path(cfg.runs)), paper, cfg.reference) if cfg.runs else []
    page = render(
        pairs=[pair(str(name), videos) for name, videos in named["pairs"].items()],
        tables=compared,
        curves=[drawn for label, folder in trainings.items() for drawn in curves(label, folder)],
        settings=settings(trainings, [Path(str(path)) for path in named["settings"]]),
    )
    written = {".html": page}
    if compared:
        log.info(markdown(compared))
        written |= {".md": markdown(compared), ".tex": latex(compared), ".csv": comma_separated(compared)}
    for suffix, text in written.items():
        write_whole(output.with_suffix(suffix), text)
    log.info(f"report: {output}")


def folders(named: Mapping[Any, Any]) -> dict[str, Path]:
    """YAML reads some names as numbers."""
    return {str(label): Path(str(folder)) for label, folder in named.items()}


def settings(trainings: Mapping[str, Path], results: Sequence[Path]) -> dict[str, str]:
    """What each training (``config.yaml`` of its run folder) and each JSON file was made with, by title.

    Raises:
        UserError: a file that is missing, or holds no JSON.
    """
    configs = {
        f"{label}: config.yaml": read_text(folder / "config.yaml") for label, folder in trainings.items()
    }
    return configs | {
        str(path): json.dumps(read_json(path), indent=2, ensure_ascii=False) for path in results
    }


def render(
    pairs: Sequence[Pair], tables: Sequence[Table], curves: Sequence[Curve], settings: Mapping[str, str]
) -> str:
    """Fill report.html, with every text escaped.

    Raises:
        UserError: there is nothing to show.
    """
    if not (pairs or tables or curves or settings):
        raise UserError("nothing to report: name pairs, runs, trainings or settings; --help shows an example")
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(template).render(pairs=pairs, tables=tables, curves=curves, settings=settings)


if __name__ == "__main__":
    main()
