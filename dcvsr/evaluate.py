"""``python -m dcvsr.evaluate``: an upscaler on the test clips of a data set, scored by every metric."""

import logging
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.cli import command, preflight
from dcvsr.errors import UserError

log = logging.getLogger(__name__)

Scores = dict[str, dict[str, float]]
"""Clip -> metric -> value."""

RESULTS = ("clip", "metric", "value")


@command("evaluate")
def main(cfg: DictConfig) -> None:
    """Leaves results.csv, summary.json, the restored videos and a wandb table in the run folder."""
    preflight(cfg)
    from dcvsr.attention.probe import Probe
    from dcvsr.device import choose
    from dcvsr.models.cost import Ledger
    from dcvsr.provenance import describe, write_csv, write_json

    folder, choices = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().runtime.choices
    upscaler, metrics, device = instantiate(cfg.upscaler), instantiate(cfg.metrics), choose(cfg.device)
    upscaler.to(device)
    clips, degradation = (instantiate(part, _convert_="all") for part in (cfg.data.test, cfg.degradation))
    _require_lr_and_truth(clips, degradation, metrics)
    ledger, probes = Ledger(upscaler), [Probe()] if cfg.debug.attention else []
    scores = _score(cfg, upscaler, clips, degradation, metrics, device, folder, ledger, probes)
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
        "cost": ledger.report(),
        **describe(upscaler.origin, cfg.seed, device),
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    rows = [[clip, name, value] for clip, row in scores.items() for name, value in row.items()]
    write_csv(folder / "results.csv", RESULTS, rows)
    for table in (table for probe in probes for table in probe.tables):
        write_csv(folder / f"{table.name}.csv", table.columns, table.rows)
    write_json(folder / "summary.json", summary)
    _publish(cfg, summary, rows, probes)
    means = ", ".join(f"{name} {score['mean']:.4f}" for name, score in summary["metrics"].items())
    log.info(f"{choices['upscaler']} on {cfg.data.name}: {means or 'not scored'}\nrun: {folder}")


def _score(
    cfg: DictConfig,
    upscaler: Any,
    clips: Mapping[str, Any],
    degradation: Any,
    metrics: Mapping[str, Any],
    device: Any,
    folder: Path,
    ledger: Any,
    probes: Sequence[Any],
) -> Scores:
    """Degrade, upscale and score each clip; both LR and result are rounded to 8 bits, as files hold them."""
    from tqdm import tqdm

    from dcvsr.attention.observer import Observers
    from dcvsr.data.video import to_bytes, to_unit, write_clip

    scores: Scores = {}
    (folder / "videos").mkdir()
    for name, clip in clips.items():
        hr, lr = _hr_and_lr(name, clip, degradation, cfg.lr_seed)
        lr = lr.to(device)
        work = upscaler.work(len(lr), *lr.shape[-2:])
        for probe in probes:
            probe.clip = name
        with tqdm(total=work, desc=name, unit="tile") as bar, ledger.running(lr):
            restored = to_unit(to_bytes(upscaler(lr, bar.update, Observers([ledger, *probes]))))
        scores[name] = {}
        for metric_name, metric in tqdm(metrics.items(), desc=f"{name}: score"):
            metric.to(device).reset()
            metric.update(restored, hr.to(device))
            scores[name][metric_name] = metric.compute().item()
        write_clip(folder / "videos" / f"{name}.mp4", restored, Fraction(cfg.fps), crf=cfg.crf)
    return scores


def _require_lr_and_truth(clips: Mapping[str, Any], degradation: Any, metrics: Mapping[str, Any]) -> None:
    """Raises UserError if LR of a clip comes from nowhere, or what metrics compare with is not known."""
    from dcvsr.data.pairs import Pair, require_one_lr

    for name, clip in clips.items():
        require_one_lr(name, clip, degradation)
        if isinstance(clip, Pair) and clip.hr is None and metrics:
            raise UserError(
                f"clip {name} has no HR for {', '.join(metrics)} to compare with: choose metrics=none"
            )


def _hr_and_lr(name: str, clip: Any, degradation: Any, seed: int) -> tuple[Any, Any]:
    """HR, None where it is not known; and LR, the clip's own or what `dcvsr.degrade` makes with this seed."""
    from dcvsr.data.pairs import Pair
    from dcvsr.data.video import to_unit
    from dcvsr.degradation.seeds import generator

    def whole(part: Any) -> Any:
        return to_unit(part.read(0, len(part)))

    if isinstance(clip, Pair):
        return whole(clip.hr) if clip.hr is not None else None, whole(clip.lr)
    hr = whole(clip)
    return hr, degradation.apply(degradation.draw(generator(seed, name), hr.shape), hr)


def _publish(cfg: DictConfig, summary: Mapping[str, Any], rows: list[Any], probes: Sequence[Any]) -> None:
    """What a run measured, as a run of wandb."""
    import wandb

    from dcvsr.models.cost import flat

    try:
        logger = instantiate(cfg.wandb)
        logger.log_table("evaluate/results", columns=list(RESULTS), data=rows)
        logger.log_metrics({f"evaluate/{name}": score["mean"] for name, score in summary["metrics"].items()})
        logger.log_metrics(flat(summary["cost"], "evaluate/cost"))
        for probe in probes:
            for table in probe.tables:
                logger.log_table(
                    f"debug/{table.name}", columns=list(table.columns), data=list(map(list, table.rows))
                )
            lines = probe.mass_by_step
            steps, masses = ([[point[i] for point in line] for line in lines.values()] for i in (0, 1))
            plot = wandb.plot.line_series(steps, masses, list(lines), "attention on propagated keys", "step")
            logger.experiment.log({"debug/mass": plot})
    finally:
        wandb.finish()


if __name__ == "__main__":
    main()
