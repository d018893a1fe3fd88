"""Table 2 in miniature, and the sweeps beside it: ``python experiments/table2/table2.py data.path=CLIPS``.

Runs what table2.yaml lists, or of that what --only names, and draws its pages: outputs/table2/NAME.html, .md,
.tex, .csv. Stopped, it goes on where it was.
"""

import argparse
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dcvsr.cli import run

OUT = Path("outputs/table2")


def main() -> None:
    plan: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_suffix(".yaml")))
    asked = _arguments(list(plan["pages"]))
    for page in asked.only:
        for i, sweep in enumerate(plan["pages"][page]):
            given = [*plan["common"], *sweep, *asked.overrides, f"hydra.sweep.dir={OUT}/{page}/{i}"]
            if asked.dry_run:
                given.append("dry_run=true")
            last = {override.partition("=")[0]: override for override in given}
            run("evaluate", "-m", *last.values())
        if not asked.dry_run:
            run("report", f"output={OUT}/{page}.html", f"runs={OUT}/{page}")


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
