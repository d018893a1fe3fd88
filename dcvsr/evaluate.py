"""``python -m dcvsr.evaluate``: an upscaler on the test clips of a data set, scored by every metric."""

import csv
import logging
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.cli import command, preflight

log = logging.getLogger(__name__)

Scores = dict[str, dict[str, float]]
"""Clip -> metric -> value."""


@command("evaluate")
def main(cfg: DictConfig) -> None:
    """Leaves results.csv, summary.json, the restored videos and a wandb table in the run folder."""
    preflight(cfg)
    import wandb

    from dcvsr.device import choose
    from dcvsr.provenance import describe, write_json

    folder, choices = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().runtime.choices
    upscaler, metrics, device = instantiate(cfg.upscaler), instantiate(cfg.metrics), choose(cfg.device)
    upscaler.to(device)
    clips = instantiate(cfg.data.test, _convert_="all")
    scores = _score(cfg, upscaler, clips, metrics, device, folder)
    summary = {
        "dataset": cfg.data.name,
        "upscaler": choices["upscaler"],
        "metrics": {
            name: {
                "mean": fmean(row[name] for row in scores.values()),
                "higher_is_better": metric.higher_is_better,
            }
            for name, metric in metrics.items()
        },
        "clips": scores,
        **describe(upscaler.origin, cfg.seed, device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    rows = [[clip, name, value] for clip, row in scores.items() for name, value in row.items()]
    with (folder / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["clip", "metric", "value"], *rows])
    write_json(folder / "summary.json", summary)
    try:
        logger = instantiate(cfg.wandb)
        logger.log_table("evaluate/results", columns=["clip", "metric", "value"], data=rows)
        logger.log_metrics({f"evaluate/{name}": score["mean"] for name, score in summary["metrics"].items()})
    finally:
        wandb.finish()
    means = ", ".join(f"{name} {score['mean']:.4f}" for name, score in summary["metrics"].items())
    log.info(f"{choices['upscaler']} on {cfg.data.name}: {means}\nrun: {folder}")


def _score(
    cfg: DictConfig,
    upscaler: Any,
    clips: Mapping[str, Any],
    metrics: Mapping[str, Any],
    device: Any,
    folder: Path,
) -> Scores:
    """Degrade, upscale and score each clip; both LR and result are rounded to 8 bits, as files hold them."""
    from tqdm import tqdm

    from dcvsr.data.video import to_bytes, to_unit, write_clip

    degradation = instantiate(cfg.degradation)
    scores: Scores = {}
    (folder / "videos").mkdir()
    for name, clip in clips.items():
        hr = to_unit(clip.read(0, len(clip))).to(device)
        lr = to_unit(to_bytes(degradation(hr[None])[0]))
        work = upscaler.work(len(lr), *lr.shape[-2:])
        with tqdm(total=work, desc=name, unit="tile") as bar:
            restored = to_unit(to_bytes(upscaler(lr, bar.update)))
        scores[name] = {}
        for metric_name, metric in tqdm(metrics.items(), desc=f"{name}: score"):
            metric.to(device).reset()
            metric.update(restored, hr)
            scores[name][metric_name] = metric.compute().item()
        write_clip(folder / "videos" / f"{name}.mp4", restored, Fraction(cfg.fps), crf=cfg.crf)
    return scores


if __name__ == "__main__":
    main()
