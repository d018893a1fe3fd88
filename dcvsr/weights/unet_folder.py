"""Folders of U-Nets in diffusers' layout: choice of files, checks, and licence.

A folder holds ``config.json`` and weights as safetensors, in one file or in shards with an index, perhaps
in half precision only. Pickled weights (.bin) are refused: unpickling can execute code.
Importing this module does not import torch.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256, read_json

CONFIG = "config.json"
CLASS = "UNetSpatioTemporalConditionModel"
WEIGHTS = "diffusion_pytorch_model"
VARIANTS = ("", ".fp16", ".bf16")
"""Parts of a weight file's name in order of preference; float32 has none."""
SUBFOLDERS = ("unet_ema", "unet")
"""Subfolders that may hold the U-Net, in order of preference."""
DTYPES = {"F32", "F16", "BF16"}


class FileMissing(UserError):
    """Message for a U-Net without one of its files, which the hub may have."""


@dataclass(frozen=True)
class UNetFiles:
    """Files of a U-Net, complete and readable.

    Attributes:
        source: the folder as the user named it, or ``owner/name/subfolder@commit``.
        folder: folder of ``config.json`` and the weights.
        weights: names of the weight files in ``folder``.
        config: content of ``config.json``.
        repository, revision: repository and commit; None for a local folder.
        licence: as the repository's card states it; None if it states none.
    """

    source: str
    folder: Path
    weights: tuple[str, ...]
    config: dict[str, Any]
    repository: str | None
    revision: str | None
    licence: str | None

    def __str__(self) -> str:
        licence = f"licence {self.licence}" if self.licence else "states no licence"
        return f"{self.source} ({', '.join(self.weights)}; {licence})"

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file by its name."""
        return {name: file_sha256(self.folder / name) for name in (CONFIG, *self.weights)}


def chosen_files(names: set[str], subfolder: str, source: str) -> tuple[str, list[str]]:
    """Return the folder of the U-Net among a repository's files, ending in ``/``, and names of its files."""
    places = [f"{subfolder}/"] if subfolder else ["", *(f"{each}/" for each in SUBFOLDERS)]
    described = [place for place in places if place + CONFIG in names]
    if not described:
        inside = f"; {' and '.join(SUBFOLDERS)} are searched too" if not subfolder else ""
        raise FileMissing(
            f"{source} has no {places[0]}{CONFIG}: give a folder in diffusers' layout, "
            f"with {CONFIG} and {WEIGHTS}.safetensors{inside}"
        )
    place, inside = described[0], set[str]()
    for place in described:
        inside = {name.removeprefix(place) for name in names if name.startswith(place)}
        if any(name.startswith(WEIGHTS) for name in inside):
            break
    for variant in VARIANTS:
        single, index = f"{WEIGHTS}{variant}.safetensors", f"{WEIGHTS}.safetensors.index{variant}.json"
        if single in inside:
            return place, [CONFIG, single]
        if index in inside:
            shard = re.compile(rf"{WEIGHTS}(?:-\d+-of-\d+{variant}|{variant}-\d+-of-\d+)\.safetensors")
            return place, [CONFIG, index, *sorted(filter(shard.fullmatch, inside))]
    if any(name.endswith(".bin") for name in inside):
        raise UserError(
            f"{source} has only pickled weights (.bin), which can execute code: convert them to safetensors"
        )
    raise FileMissing(f"{source} has no weights: {place}{WEIGHTS}.safetensors is missing")


def read_unet(folder: Path, subfolder: str, source: str, repository: str | None = None) -> UNetFiles:
    """Check and describe the U-Net in ``folder``, the root of a repository or a folder of the user's."""
    places = [Path(subfolder)] if subfolder else [Path(), *map(Path, SUBFOLDERS)]
    names = {str(place / file.name) for place in places for file in (folder / place).glob("*")}
    if (folder / "checkpoints/last.ckpt").is_file() and CONFIG not in names:
        raise UserError(f"{source} is the folder of a run: give {source}/checkpoints/last.ckpt")
    place, found = chosen_files(names, subfolder, source)
    inside = folder / place
    config = read_json(inside / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{inside / CONFIG} does not hold the settings of a network; download it again")
    if (kind := config.get("_class_name")) != CLASS:
        raise UserError(
            f"{source} is a {kind or 'network without _class_name'}, not a {CLASS}: give an SVD-type U-Net"
        )
    weights = found[1:]
    if weights[0].endswith(".json"):
        weights = _shards(inside / weights[0])
    for name in weights:
        _require_readable(inside / name)
    revision = folder.name if repository else None
    if repository:
        source = f"{repository}/{place}".rstrip("/") + f"@{revision}"
    return UNetFiles(source, inside, tuple(weights), config, repository, revision, _licence(folder))


def _shards(index: Path) -> list[str]:
    """Return the names of the shards in an index; raise UserError if one is missing."""
    content = read_json(index)
    try:
        shards = sorted(set(content["weight_map"].values()))
        if any(Path(name).name != name or not name.endswith(".safetensors") for name in shards):
            raise TypeError
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{index} is not an index of shards; download it again") from None
    if missing := [name for name in shards if not (index.parent / name).is_file()]:
        raise FileMissing(
            f"{index.parent} lacks {', '.join(missing)} of {len(shards)} shards; download it again"
        )
    return shards


def _require_readable(path: Path) -> None:
    """Raise UserError unless ``path`` is a whole safetensors file of floating-point tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or cut off ({error}); download it again") from error
    if other := sorted(dtypes - DTYPES):
        raise UserError(f"{path} stores {', '.join(other)}; only F32, F16 and BF16 weights are supported")


def _licence(folder: Path) -> str | None:
    """Return the licence that the card in ``folder`` states."""
    from huggingface_hub import ModelCard

    try:
        data = ModelCard.load(folder / "README.md").data.to_dict()
    except Exception:  # the card is missing, or not in the hub's format
        return None
    stated = data.get("license_name") or data.get("license")
    return None if stated is None else str(stated)
