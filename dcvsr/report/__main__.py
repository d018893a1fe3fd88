"""``python -m dcvsr.report``: gather the results of runs into one self-contained HTML page.

The page needs no network and no other file: videos, images, plots and settings are inside it. report.html and
the templates beside it define its look and its behaviour.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.evaluation.paper_tables import Paper
from dcvsr.report import clip_differences, table_files
from dcvsr.report.budget import tables_at_equal_evaluations
from dcvsr.report.charts import curve_svg, plot_svg
from dcvsr.report.clip_section import ClipSection, views
from dcvsr.report.curve import Curve, curves
from dcvsr.report.player import Player, pair
from dcvsr.report.plots import Plot, plots
from dcvsr.report.runs import runs_under
from dcvsr.report.scenes import scenes
from dcvsr.report.strata import strata
from dcvsr.report.table import Table, tables
from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import needed
from dcvsr.runtime.files import read_json, read_text, require_short_names, write_whole
from dcvsr.runtime.wandb_login import require_login

log = logging.getLogger(__name__)

TABLES = (".md", ".tex", ".csv", "_clips.csv", "_plots.csv")
"""Ends of the names of tables beside the page."""

LARGE = 100e6
"""Size in bytes from which browsers open a page slowly."""


@dataclass(frozen=True)
class Content:
    """Content of a page; settings by title."""

    pairs: Sequence[Player] = ()
    tables: Sequence[Table] = ()
    deltas: Sequence[clip_differences.Deltas] = ()
    strata: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    views: Sequence[ClipSection] = ()
    curves: Sequence[Curve] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@command("report")
def main(cfg: DictConfig) -> None:
    """Write a page on ``pairs``, ``runs``, ``trainings`` and ``settings``, and its tables as text."""
    with needed("the report", "report"):  # before the minutes that `gather` takes
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401

    named: Any = OmegaConf.to_container(cfg, resolve=True)
    output = Path(cfg.output)
    _require_free_names(output, bool(cfg.runs))
    require_login(cfg.wandb)
    content = gather(named)
    page = render(content)
    if len(page) > LARGE:
        log.warning(f"the page has {len(page) / 1e6:.0f} MB and will open slowly; media= shows fewer clips")
    if content.tables:
        log.info(table_files.markdown(content.tables))
    for ending, text in {".html": page, **texts(content)}.items():
        write_whole(output.with_name(output.stem + ending), text)
    _publish(cfg, content)
    log.info(f"report: {output}")


def gather(named: Mapping[str, Any]) -> Content:
    """Read everything that the keys name.

    Raises:
        UserError: an input is missing, damaged, or does not fit the others.
    """
    trainings, reference = folders(named["trainings"]), named["reference"]
    runs = runs_under(Path(named["runs"])) if named["runs"] else []
    tabulate = tables_at_equal_evaluations if named["equal_evaluations"] else tables
    truth = Path(named["truth"]) if named["truth"] else None
    shown = scenes(runs, reference, truth, named["media"])
    return Content(
        pairs=[pair(str(name), videos) for name, videos in named["pairs"].items()],
        tables=tabulate(runs, Paper(**named["paper"]) if "paper" in named else None, reference),
        deltas=clip_differences.deltas(runs, reference),
        strata=strata(runs, reference),
        plots=plots(runs),
        views=views(shown, named["crops"]["count"], named["crops"]["side"], named["crf"]),
        curves=[drawn for label, folder in trainings.items() for drawn in curves(label, folder)],
        settings=settings(trainings, [Path(str(path)) for path in named["settings"]]),
    )


def texts(content: Content) -> dict[str, str]:
    """Return the contents of the tables' files by suffix; empty if the report has no tables."""
    if not content.tables:
        return {}
    scored = [*content.tables, *content.strata]
    parts = [table_files.markdown(scored), clip_differences.markdown(content.deltas)]
    beside = {
        ".md": "\n".join(filter(None, parts)),
        ".tex": table_files.latex(scored),
        ".csv": table_files.comma_separated(scored),
    }
    if content.deltas:
        beside["_clips.csv"] = clip_differences.comma_separated(content.deltas)
    if content.plots:
        beside["_plots.csv"] = table_files.points(content.plots)
    return beside


def folders(named: Mapping[Any, Any]) -> dict[str, Path]:
    """Return labels and folders as text and paths; YAML reads some names as numbers."""
    return {str(label): Path(str(folder)) for label, folder in named.items()}


def settings(trainings: Mapping[str, Path], results: Sequence[Path]) -> dict[str, str]:
    """Return the config.yaml of each training's run folder and the content of each JSON file, by title.

    Raises:
        UserError: a file is missing, or its content is not JSON.
    """
    configs = {
        f"{label}: config.yaml": read_text(folder / "config.yaml") for label, folder in trainings.items()
    }
    return configs | {
        str(path): json.dumps(read_json(path), indent=2, ensure_ascii=False) for path in results
    }


def render(content: Content) -> str:
    """Fill report.html; all text is escaped.

    Raises:
        UserError: there is nothing to show.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if not any(vars(content).values()):
        raise UserError("nothing to report: name pairs, runs, trainings or settings; --help shows an example")
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {"plot_svg": plot_svg, "curve_svg": curve_svg}
    return page.get_template("report.html").render(vars(content))


def _require_free_names(output: Path, has_tables: bool) -> None:
    """Raise UserError if a table would replace a file that no earlier report wrote, or a name is too long."""
    page, *tables = (output.with_name(output.stem + ending) for ending in (".html", *TABLES))
    require_short_names([page, *tables])
    taken = [] if page.exists() or not has_tables else [table for table in tables if table.exists()]
    if taken:
        raise UserError(f"{taken[0]} would be replaced; move it, or name another output=")


def _publish(cfg: DictConfig, content: Content) -> None:
    """Log tables and media to Weights & Biases if the user chose it."""
    if "project" not in cfg.wandb:
        return
    from dcvsr.report.wandb_run import publish

    logger = instantiate(cfg.wandb, job_type="report", save_dir=str(Path(cfg.output).parent))
    publish(logger, [*content.tables, *content.strata], content.deltas, content.views)


if __name__ == "__main__":
    main()
