"""Table 2 in miniature and its sweeps: ``python experiments/table2/table2.py data.path=CLIPS``.

Runs the pages of table2.yaml, or those that --only names, and writes outputs/table2/NAME.html, .md, .tex,
.csv and .svg. A stopped script resumes when it is started again.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import OmegaConf

from dcvsr.report.charts import draw_plot, style, svg
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
            write_whole(OUT / f"{name}.svg", svg(picture(OUT / name, page["against"], plan["metrics"])))


def _report(page: str, reference: str) -> None:
    run("report", f"output={OUT}/{page}.html", f"runs={OUT}/{page}", f"reference='{reference}'")


@style({"axes.titlesize": 12, "axes.titleweight": "bold", "figure.facecolor": "white"})
def picture(runs: Path, against: str, metrics: list[str]) -> Figure:
    """Draw the runs' ``metrics`` against one setting or cost, four plots in a line."""
    found = {plot.metric: plot for plot in plots(runs_under(runs)) if plot.against == against}
    drawn = [found[metric] for metric in metrics if metric in found]
    labels = drawn[0].labels if drawn and len(drawn[0].labels) > 1 else []
    lines = max(1, math.ceil(len(drawn) / 4))
    figure = Figure((20, 3.3 * lines + 0.2 * len(labels)), layout="constrained")
    figure.suptitle(f"Against {against}: means over clips, error bars are one standard deviation over seeds")
    for number, plot in enumerate(drawn, 1):
        draw_plot(figure.add_subplot(lines, 4, number, title=plot.title), plot)
    names = "\n".join(f"{number}. {label}" for number, label in enumerate(labels, 1))
    figure.supxlabel(names, x=0.01, ha="left", size=11)
    return figure


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
