"""Tables of sweeps: one row for each setting, mean and spread over seeds, and what an evaluation cost.

python experiments/ablations/table.py outputs/evaluate/multirun/*/
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from omegaconf import OmegaConf

METRICS = ("psnr", "ssim", "lpips", "dists")


def setting(run: Path) -> str:
    """What the job set, but for the seed and where things are."""
    overrides = OmegaConf.to_container(OmegaConf.load(run / ".hydra" / "overrides.yaml"))
    ignored = ("seed=", "+sweep=", "runs=", "ckpt=", "hydra.")
    return " ".join(sorted(str(o) for o in overrides if not str(o).startswith(ignored)))


def figures(runs: list[dict[str, Any]]) -> list[str]:
    """Mean of each metric, +- its standard deviation over seeds; evaluations of a tile; TFLOPs."""
    cells = []
    for metric in METRICS:
        values = [run["metrics"][metric]["mean"] for run in runs]
        spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
        cells.append(f"{fmean(values):.4f}{spread}")
    cost = runs[0]["cost"]
    return [*cells, str(cost["evaluations"]), f"{cost['flops']['total'] / 1e12:.2f}"]


def main() -> None:
    for sweep in map(Path, sys.argv[1:]):
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for summary in sorted(sweep.glob("*/summary.json"), key=lambda path: int(path.parent.name)):
            rows[setting(summary.parent)].append(json.loads(summary.read_text()))
        print(f"\n{sweep.name}: seeds {sorted({run['seed'] for runs in rows.values() for run in runs})}\n")
        print(f"| setting | {' | '.join(METRICS)} | evaluations | TFLOPs |")
        print("|---" * (len(METRICS) + 3) + "|")
        for name, runs in rows.items():
            print(f"| `{name}` | {' | '.join(figures(runs))} |")


if __name__ == "__main__":
    main()
