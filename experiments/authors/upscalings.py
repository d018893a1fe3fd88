"""Upscalings of a clip under several readings, each with a file that keeps its result."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from readings import Networks, plain

if TYPE_CHECKING:
    from torch import Tensor

    from dcvsr.models.upscaler import TiledUpscaler

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Task:
    """One upscaling; ``path`` holds its result once it is done."""

    reading: str
    seed: int
    cfg: DictConfig
    path: Path
    work: int


def content(upscaler: "TiledUpscaler", lr: "Tensor", sr: "Tensor", metrics: Sequence[str]) -> dict[str, Any]:
    """Return what every result depends on beside its settings: pixels, weights, metrics and code."""
    from torch import nn

    from dcvsr.runtime.hashing import digest, software

    parts = (upscaler.upsample, upscaler.denoiser, upscaler.latents.autoencoder, upscaler.image_encoder)
    return {
        "lr": digest(lr),
        "sr": digest(sr),
        "weights": [digest(part) for part in parts if isinstance(part, nn.Module)],
        "metrics": metrics,
        "software": software(),
        "scripts": [path.read_bytes() for path in sorted(HERE.glob("*.py"))],
    }


def planned(
    base: DictConfig,
    seeds: Sequence[int],
    settings: Mapping[str, DictConfig],
    networks: Networks,
    lr: "Tensor",
    about: Mapping[str, Any],
    folder: Path,
) -> list[Task]:
    """Return the default with each seed, then each reading with the first.

    Args:
        base: settings of the default.
        seeds: of the default.
        settings: reading -> its settings.
        networks: of ``base``.
        lr: the clip, ``f c h w``.
        about: what `content` returns; a task's path names its hash.
        folder: of the results.
    """
    from dcvsr.evaluation.progress import IGNORED
    from dcvsr.runtime.hashing import digest

    every = [("default", seed, base) for seed in seeds]
    every += [(reading, seeds[0], cfg) for reading, cfg in settings.items()]
    tasks = []
    for reading, seed, cfg in every:
        kept = {key: value for key, value in plain(cfg).items() if key not in IGNORED}
        key = digest({"settings": kept, "seed": seed, **about})[:16]
        work = networks.sampled(cfg, seed).work(len(lr), *lr.shape[-2:])
        tasks.append(Task(reading, seed, cfg, folder / f"{reading}-{seed}-{key}.json", work))
    return tasks


def run(
    todo: Sequence[Task], networks: Networks, lr: "Tensor", sr: "Tensor", metrics: Mapping[str, Any]
) -> None:
    """Upscale and score, and write each result as it is done.

    Args:
        todo: the tasks; those with other networks than ``networks`` come last.
        networks: of the default.
        lr: the clip, uint8 ``f c h w``.
        sr: the authors' result, uint8 ``f c 4h 4w``.
        metrics: by name.
    """
    from tqdm import tqdm

    from dcvsr.evaluation.clip_scores import score_clip
    from dcvsr.models.sampling_bar import EVALUATIONS
    from dcvsr.runtime.hashing import digest
    from dcvsr.runtime.provenance import write_json
    from dcvsr.video.io import to_bytes, to_unit

    networks.upscaler.to(networks.device)
    lr, sr = (to_unit(clip).to(networks.device) for clip in (lr, sr))
    with tqdm(total=sum(task.work for task in todo), unit="eval", bar_format=EVALUATIONS) as bar:
        for task in sorted(todo, key=lambda task: not networks.fit(task.cfg)):
            bar.set_description(f"{task.reading}, seed {task.seed}")
            networks.load(task.cfg)
            started = time.monotonic()
            pixels = to_bytes(networks.sampled(task.cfg, task.seed)(lr, bar.update))
            seconds, hr = time.monotonic() - started, to_unit(pixels)
            result = {
                "reading": task.reading,
                "seed": task.seed,
                "scores": score_clip(task.reading, hr, sr, metrics)[0],
                "colour": (255 * (hr - sr)).double().mean(dim=(0, 2, 3)).tolist(),
                "pixels": digest(pixels),
                "seconds": seconds,
            }
            write_json(task.path, result)
