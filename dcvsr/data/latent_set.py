"""Latents of degraded training crops on disk: safetensors shards and a description.

Axes of a shard's tensors: d degradation draws, c crops; latent ``f k h w``, image embeddings ``n e``.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dcvsr.runtime.errors import GOES_ON, UserError
from dcvsr.runtime.files import read_json, write_whole
from dcvsr.runtime.hashing import digest

ABOUT = "about.json"
WAY_OUT = f"free disk space or name another folder, latents=FOLDER; {GOES_ON}"


@dataclass(frozen=True)
class Layout:
    """Number, draws and storage of the crops of a set.

    Attributes:
        seed: seed of crops, degradations and pixel noise.
        crops: number of crops.
        draws: degradation draws of each crop.
        shard: crops of a file.
        dtype: type of the stored numbers.
    """

    seed: int
    crops: int
    draws: int
    shard: int
    dtype: str


@dataclass(frozen=True, eq=False)
class LatentSet:
    """A folder of shards; its name is a hash of ``contents`` and ``layout``.

    Attributes:
        folder: the folder.
        contents: settings that determine a sample, as plain values by name.
        layout: crops, draws and storage.
    """

    folder: Path
    contents: Mapping[str, Any]
    layout: Layout

    @classmethod
    def below(cls, root: Path, contents: Mapping[str, Any], layout: Layout) -> "LatentSet":
        """Return the set of these settings in its folder below ``root``; nothing is written."""
        name = digest({"contents": contents, "layout": asdict(layout)})[:16]
        return cls(root / name, contents, layout)

    @classmethod
    def opened(cls, folder: Path) -> "LatentSet":
        """Read the description of a set.

        Raises:
            UserError: if it cannot be read, or has other entries than this version writes.
        """
        about = read_json(folder / ABOUT)
        try:
            return cls(folder, about["contents"], Layout(**about["layout"]))
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{folder / ABOUT} is not of this version: run python -m dcvsr.prepare"
            ) from error

    @property
    def samples(self) -> int:
        """Number of samples: all draws of all crops."""
        return self.layout.crops * self.layout.draws

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(-(-self.layout.crops // self.layout.shard))

    def crops(self, shard: int) -> range:
        """Return the numbers of a shard's crops."""
        first = shard * self.layout.shard
        return range(first, min(first + self.layout.shard, self.layout.crops))

    def path(self, shard: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"{shard:06d}.safetensors"

    def missing(self) -> list[int]:
        """Return the shards without a whole file."""
        return [shard for shard in self.shards if not _is_whole(self.path(shard))]

    def describe(self, software: Mapping[str, str]) -> None:
        """Write the description, with the versions of the software that makes the set."""
        about = {"contents": self.contents, "layout": asdict(self.layout), "software": software}
        write_whole(self.folder / ABOUT, json.dumps(about, indent=1), WAY_OUT)

    def write(self, shard: int, tensors: dict[str, Tensor]) -> None:
        """Write a shard whole or not at all, and remove what killed runs left of it."""
        for unfinished in self.folder.glob(f"{self.path(shard).name}.*.part"):
            unfinished.unlink(missing_ok=True)
        write_whole(self.path(shard), save(tensors), WAY_OUT)

    def read(self, shard: int, draw: int, row: int) -> dict[str, Tensor]:
        """Return the tensors of a draw of a shard's crop, in the type that is stored.

        ``y`` is stored once per crop if it does not depend on the draw.
        """
        file = _opened(self.path(shard))
        return {name: _at(file.get_slice(name), draw, row) for name in file.keys()}  # noqa: SIM118


def sets_in(root: Path) -> Iterator[LatentSet]:
    """Yield the set in ``root`` itself, or those in its folders."""
    folders = [root] if (root / ABOUT).is_file() else sorted(path.parent for path in root.glob(f"*/{ABOUT}"))
    yield from map(LatentSet.opened, folders)


def sample_bytes(
    latent: tuple[int, int, int, int], image: tuple[int, int], draws: int, shares_y: bool, item: int
) -> int:
    """Return the bytes of a crop with all its draws.

    Args:
        latent: frames, channels, rows and columns of y and of l.
        image: number and length of the image embeddings.
        draws: draws of the crop.
        shares_y: True if the draws share y.
        item: bytes of a number.
    """
    frames, channels, rows, columns = latent
    numbers = frames * channels * rows * columns * (draws + (1 if shares_y else draws))
    return item * (numbers + draws * image[0] * image[1])


@lru_cache(maxsize=64)
def _opened(path: Path) -> Any:
    return safe_open(path, "pt")


def _at(stored: Any, draw: int, row: int) -> Tensor:
    return stored[min(draw, stored.get_shape()[0] - 1), row]


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False
