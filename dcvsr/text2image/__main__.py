"""Command that generates images of captions with Stable Diffusion and scores them (Table 3)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.available import available
from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    import torch

    from dcvsr.text2image.gallery import Gallery

log = logging.getLogger(__name__)

RESULTS = ("clip", "metric", "value")
SET = "captions"
"""Name of the set of all images, in the place of a clip's name: IS and FID score sets."""


@command("text2image")
def main(cfg: DictConfig) -> None:
    """Write images/, captions.txt, results.csv and summary.json to the run folder."""
    _require(cfg)
    captions = instantiate(cfg.captions, _convert_="all")
    from dcvsr.runtime.device import choose
    from dcvsr.runtime.provenance import describe
    from dcvsr.text2image.gallery import Gallery
    from dcvsr.text2image.stable_diffusion import digest, noise_range

    folder, device = Path(HydraConfig.get().runtime.output_dir), choose(cfg.device)
    metrics, missing = available(cfg.metrics)
    pipe = instantiate(cfg.pipeline).to(device)
    for key, level in zip(("sigma_min", "sigma_max"), noise_range(pipe, cfg.sampler.steps), strict=True):
        cfg.sampler[key] = level if cfg.sampler[key] is None else cfg.sampler[key]
    identity = describe(None, cfg.seed, device) | {
        "weights": {"file": cfg.pipeline.get("weights"), "sha256": digest(pipe)},
        "settings": OmegaConf.to_container(cfg, resolve=True),
    }
    gallery = Gallery(folder, identity, captions)
    _generate(cfg, pipe, captions, gallery)
    del pipe
    scores, refused = _scores(metrics, gallery.files, cfg.batch, device)
    better = {name: metrics[name].higher_is_better for name in scores} | {"forwards": False}
    found = {"missing": missing | refused, "cost": gallery.cost, **identity}
    _report(_dataset(cfg, len(captions)), folder, scores | {"forwards": gallery.forwards}, better, found)


def _require(cfg: DictConfig) -> None:
    """Raise UserError for bad settings that would otherwise fail late."""
    if cfg.sampler.steps < 2:
        raise UserError(f"sampler.steps={cfg.sampler.steps} is too few for DDIM; pass 2 or more")
    if cfg.real_images is not None:
        instantiate(OmegaConf.select(cfg, "metrics.fid.real_images"))


def _dataset(cfg: DictConfig, count: int) -> str:
    """Return the name of the captions and weights: the paper's dataset only if both are the paper's."""
    from dcvsr.text2image.captions import of_val2014

    choices = HydraConfig.get().runtime.choices
    real, from_file = choices["pipeline"] == "sd", choices["captions"] == "coco"
    if real and from_file and count == cfg.dataset.count and of_val2014(cfg.captions.path):
        return cfg.dataset.name
    source = f" of {Path(cfg.captions.path).name}" if from_file else ""
    return f"{count} captions{source}, {'Stable Diffusion' if real else 'random weights'}"


def _generate(cfg: DictConfig, pipe: Any, captions: Sequence[str], gallery: "Gallery") -> None:
    """Generate the images that the gallery lacks."""
    from tqdm import tqdm

    from dcvsr.text2image.generation import ImageGeneration

    pipe.set_progress_bar_config(disable=True)
    generate = ImageGeneration(pipe, instantiate(cfg.guidance), captions, cfg.sampler.steps, cfg.seed)
    todo = gallery.todo(cfg.batch)
    log.info(f"{len(captions)} images, {sum(map(len, todo))} to do")
    with tqdm(total=sum(map(len, todo)), desc=_guidance(), unit="image", disable=not todo) as bar:
        for generated in generate(todo):
            gallery.add(generated)
            bar.update(len(generated.images))


def _scores(
    metrics: Mapping[str, Any], files: Sequence[Path], batch: int, device: "torch.device"
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return scores of the set of images, None if not finite, and reasons for metrics without a score."""
    from dcvsr.text2image.real_images import batches

    scores, refused = {}, {}
    for name, metric in metrics.items():
        metric.to(device)
        try:
            for images in batches(files, None, batch, name):
                metric.update(images.to(device))
            value = metric.compute()
        except UserError as error:
            refused[name] = str(error)
            log.warning(f"{name} has no score, and its cell stays empty: {error}")
            continue
        scores[name] = value.item() if value.isfinite() else None
    return scores, refused


def _report(
    dataset: str,
    folder: Path,
    scores: Mapping[str, float | None],
    better: Mapping[str, bool],
    found: Mapping[str, Any],
) -> None:
    """Write results.csv and summary.json in the layout of `dcvsr.evaluate`, and log the scores."""
    from dcvsr.runtime.provenance import write_csv, write_json

    write_csv(folder / "results.csv", RESULTS, [[SET, name, value] for name, value in scores.items()])
    overrides = HydraConfig.get().overrides.task
    summary = {
        "dataset": dataset,
        "upscaler": _guidance(),
        "metrics": {name: {"mean": scores[name], "higher_is_better": better[name]} for name in scores},
        "clips": {SET: scores},
        **found,
        # A report names the row after the guidance, so the override is left out.
        "overrides": [override for override in overrides if not override.startswith("guidance=")],
    }
    write_json(folder / "summary.json", summary)
    known = ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if value is not None)
    log.info(f"{_guidance()} on {dataset}: {known}\nrun: {folder}")


def _guidance() -> str:
    return HydraConfig.get().runtime.choices["guidance"]


if __name__ == "__main__":
    main()
