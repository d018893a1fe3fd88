"""Short trainings side by side: ``python experiments/nano/tune.py data.path=FOLDER``.

Trains each set of tune.yaml, scores it on the held-out clips of data=published at each setting of the
sampler, and leaves tune.md and tune.csv. Stopped, it goes on where it was: what is done is not done again, a
training that was cut off begins anew, as the others saw their crops in one go. Losses of two sets compare
where both draw the same noise levels.
"""

import argparse
import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf

from dcvsr.models.checkpoint import open_checkpoint
from dcvsr.runtime.cli import run
from dcvsr.runtime.files import write_whole

HERE = Path(__file__).parent
Row = dict[str, Any]


def main() -> None:
    asked = _arguments()
    plan: Any = OmegaConf.to_container(OmegaConf.load(asked.sets))
    rows = []
    for row in _rows(plan, asked.output, asked.overrides):
        rows.append(row)
        _write(asked.output, rows)
    print(f"\n{(asked.output / 'tune.md').read_text()}\ntable: {asked.output}/tune.md, tune.csv")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="of every command, such as data.path=FOLDER")
    parser.add_argument("--sets", type=Path, default=HERE / "tune.yaml")
    # Beside outputs/: there, the newest run is what `upscale` takes.
    parser.add_argument("--output", type=Path, default=Path("multirun/nano_tune"))
    return parser.parse_args()


def _rows(plan: Mapping[str, Any], output: Path, overrides: list[str]) -> Iterator[Row]:
    """Bicubic, then each set at each setting, as they are done."""
    scoring = ["data=published", *plan["evaluate"], *overrides]
    bicubic = _score(output / "bicubic", "upscaler=bicubic", *scoring)
    yield {"set": "bicubic", "sampler": "", "loss": None, **bicubic}
    for name, given in plan["sets"].items():
        folder, model = output / name, given.get("model", [])
        _train(folder / "train", plan["steps"], [*plan["train"], *model, *given.get("train", []), *overrides])
        loss, ckpt = _loss(folder / "train"), f"ckpt={folder}/train/checkpoints/last.ckpt"
        for sampler, settings in plan["samplers"].items():
            scores = _score(folder / sampler, ckpt, *scoring, *model, *settings)
            yield {"set": name, "sampler": sampler, "loss": loss, **scores}


def _train(folder: Path, steps: int, overrides: list[str]) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file() and open_checkpoint(last, "nano").step >= steps:
        return
    shutil.rmtree(folder, ignore_errors=True)
    command = ["+experiment=nano_stage1", f"trainer.max_steps={steps}", f"hydra.run.dir={folder}"]
    run("train", *command, *overrides)


def _loss(folder: Path) -> float:
    """The mean of the last quarter."""
    with (folder / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    return fmean(losses[-max(1, len(losses) // 4) :])


def _score(folder: Path, *overrides: str) -> Row:
    """Means over clips by metric; evaluate itself does nothing twice."""
    run("evaluate", *overrides, f"hydra.run.dir={folder}")
    summary = json.loads((folder / "summary.json").read_text())
    return {name: metric["mean"] for name, metric in summary["metrics"].items()}


def _write(output: Path, rows: list[Row]) -> None:
    """Both tables; beside each score, how far it is from bicubic's."""
    columns = list(rows[0])
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(output / "tune.csv", text.getvalue())
    lines = [
        columns,
        ["---"] * len(columns),
        *([_cell(row, rows[0], key) for key in columns] for row in rows),
    ]
    write_whole(output / "tune.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))


def _cell(row: Row, bicubic: Row, key: str) -> str:
    value, reference = row[key], bicubic[key]
    if not isinstance(value, float):
        return value or ""
    if row is bicubic or not reference:
        return f"{value:.4f}"
    if key.startswith("psnr"):
        return f"{value:.2f} ({value - reference:+.2f} dB)"
    return f"{value:.4f} ({value / reference - 1:+.1%})"


if __name__ == "__main__":
    main()
