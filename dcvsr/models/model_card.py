"""Model card of an exported network: README.md with the hub's metadata."""

from collections.abc import Iterable, Sequence
from csv import DictReader
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

import dcvsr
from dcvsr.models.checkpoint import SHIPPED, Checkpoint
from dcvsr.models.denoiser import Denoiser
from dcvsr.models.diffusers_unet import DiffusersUNet
from dcvsr.runtime.files import file_sha256, read_text
from dcvsr.runtime.provenance import Origin

OF_SVD = "stable-video-diffusion-community"
"""Licence of Stable Video Diffusion's weights, which also covers networks fine-tuned from them."""

CHOICES = {"data": "data", "degradation": "degradation"}
"""Row of the card -> config group, whose option the run chose."""

SETTINGS = {
    "scale": "scale",
    "stage": "stage",
    "frames": "data.frames",
    "crop, pixels": "data.crop",
    "samples per optimizer step": "batch",
    "learning rate": "module.optimizer.lr",
    "seed": "seed",
}
"""Row of the card -> key of the run's config.yaml."""


def stated_licence(given: str | None, origin: Origin | None, scale: str) -> str | None:
    """Return the licence of exported weights: ``given``, else of the network that they derive from."""
    if given is not None:
        return given
    if isinstance(origin, DiffusersUNet):
        return origin.files.licence
    if isinstance(origin, Checkpoint) and origin.path.parent == SHIPPED:
        return "apache-2.0"
    return OF_SVD if scale == "svd" else None


def model_card(denoiser: Denoiser, folder: Path, dtype: str, licence: str | None, scale: str) -> str:
    """Compose the card of the network in ``folder``.

    Args:
        denoiser: the network, with the origin of its weights.
        folder: the exported files, which are hashed.
        dtype: of the stored weights.
        licence: of the weights; None if unknown.
        scale: of the model.
    """
    about: dict[str, Any] = {"library_name": "diffusers", "tags": ["video-super-resolution", "dc-vsr"]}
    if licence == OF_SVD:
        about |= {"license": "other", "license_name": OF_SVD}
    elif licence is not None:
        about["license"] = licence
    origin, unet = denoiser.origin, denoiser.unet
    parameters = sum(p.numel() for p in unet.parameters())
    settings = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sections = [
        f"---\n{yaml.safe_dump(about, sort_keys=True)}---",
        f"# {folder.name}",
        f"Denoiser of [DC-VSR](https://arxiv.org/abs/2502.03502), a {type(unet).__name__} of {parameters:,} "
        f"parameters in {dtype}, exported by dcvsr {dcvsr.__version__}. {_licence_sentence(licence)}",
        f"```\npython -m dcvsr.upscale scale={scale} ckpt={folder.name} input=clip.mp4 output=big.mp4\n```",
        "## Origin\n\n" + ("Initial weights: not trained." if origin is None else _public(str(origin))),
        *(_of_a_run(origin) if isinstance(origin, Checkpoint) else []),
        f"## Configuration\n\n{_table(['key', 'value'], settings.items())}",
        "## Files\n\n" + _table(
            ["file", "SHA-256"], [(path.relative_to(folder), file_sha256(path)) for path in files]
        ),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _licence_sentence(licence: str | None) -> str:
    return (
        "No licence of the weights is stated." if licence is None else f"Licence of the weights: {licence}."
    )


def _of_a_run(origin: Checkpoint) -> list[str]:
    """Return sections on the training run that left a checkpoint."""
    if origin.path.parent == SHIPPED:
        card = read_text(origin.path.with_suffix(".md"))
        return ["## Card of the shipped model\n\n" + card.partition("\n")[2].strip()]
    folder = origin.path.resolve().parent.parent
    sections = []
    settings, chosen = folder / "config.yaml", folder / ".hydra/hydra.yaml"
    if settings.is_file() and chosen.is_file():
        cfg, hydra = OmegaConf.load(settings), OmegaConf.load(chosen)
        rows = [(name, OmegaConf.select(cfg, key)) for name, key in SETTINGS.items()]
        rows += [(name, OmegaConf.select(hydra, f"hydra.runtime.choices.{g}")) for name, g in CHOICES.items()]
        rows += [
            ("optimizer steps", origin.step),
            ("started from", _public(str(OmegaConf.select(cfg, "start")))),
        ]
        sections.append(f"## Training\n\n{_table(['setting', 'value'], rows)}")
    if scores := _scores(folder / "metrics.csv"):
        sections.append(
            "## Scores\n\nOn the run's validation clips, at its last validation.\n\n"
            + _table(["score", "value"], scores)
        )
    return sections


def _public(origin: str) -> str:
    """Return the one-line description of weights without the folders of the user's machine."""
    name, about, rest = origin.partition(" (")
    return (name if "@" in name else Path(name).name) + about + rest


def _scores(path: Path) -> list[tuple[str, str]]:
    """Return names and values of the last validation in metrics.csv."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [
            {name: value for name, value in row.items() if name.startswith("val/") and value}
            for row in DictReader(file)
        ]
    last = next((row for row in reversed(rows) if row), {})
    return [(name.removeprefix("val/"), f"{float(value):.4g}") for name, value in last.items()]


def _table(columns: Sequence[str], rows: Iterable[tuple[object, object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)
