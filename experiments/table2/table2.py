"""Table 2 in miniature, and the sweeps beside it: ``python experiments/table2/table2.py data.path=CLIPS``.

Runs what table2.yaml lists, or of that what --only names, and draws its pages: outputs/table2/NAME.html, .md,
.tex, .csv, .svg. Stopped, it goes on where it was.
"""

import argparse
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import OmegaConf

import dcvsr.report
from dcvsr.report.plots import plots
from dcvsr.report.runs import runs_under
from dcvsr.runtime.cli import run
from dcvsr.runtime.files import write_whole

HERE = Path(__file__).parent
OUT = Path("outputs/table2")


def main() -> None:
    plan: Any = OmegaConf.to_container(OmegaConf.load(HERE / "table2.yaml"))
    asked = _arguments(list(plan["pages"]))
    for name in asked.only:
        page = plan["pages"][name]
        for i, sweep in enumerate(page["sweeps"]):
            given = [*plan["common"], *sweep, *asked.overrides, f"hydra.sweep.dir={OUT}/{name}/{i}"]
            if asked.dry_run:
                given.append("dry_run=true")
            last = {override.partition("=")[0]: override for override in given}
            run("evaluate", "-m", *last.values())
        if not asked.dry_run:
            _report(name, page["reference"])
            write_whole(OUT / f"{name}.svg", picture(OUT / name, page["against"], plan["metrics"]))


def _report(page: str, reference: str) -> None:
    run("report", f"output={OUT}/{page}.html", f"runs={OUT}/{page}", f"reference='{reference}'")


def picture(runs: Path, against: str, metrics: list[str]) -> str:
    """An SVG of the runs' ``metrics`` against one thing."""
    chosen = {plot.metric: plot for plot in plots(runs_under(runs)) if plot.against == against}
    templates = Environment(
        loader=FileSystemLoader([HERE, *dcvsr.report.__path__]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("picture.jinja").render(
        against=against, plots=[chosen[metric] for metric in metrics if metric in chosen]
    )


def _arguments(pages: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "overrides", nargs="*", help="of every run, such as data.path=FOLDER metrics.flow=dis"
    )
    parser.add_argument(
        "--only", nargs="+", choices=pages, default=pages, metavar="PAGE", help=", ".join(pages)
    )
    parser.add_argument("--dry-run", action="store_true", help="print what each run would cost, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
