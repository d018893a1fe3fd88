"""HR clips on disk, and checks of LR sets that do not use the code under test."""

import hashlib
import inspect
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy
from PIL import Image

from dcvsr.degrade.clip_hash import Digest
from tests.data.making import make_video
from tests.degradation.making import clip

SIZES = {"a": (3, 32, 48), "b": (11, 32, 32), "c": (2, 48, 32)}
"""Shapes f h w of the clips of `make_hr`; the eleven frames of b are named 1 to 11."""


def images(frames: int, height: int, width: int, seed: int = 0) -> list[numpy.ndarray]:
    """Return uint8 ``h w c`` images with detail to blur and motion to code."""
    return list((clip(frames, height, width, seed) * 255).byte().permute(0, 2, 3, 1).numpy())


def write_png(folder: Path, frames: Iterable[numpy.ndarray], first: int = 1) -> Path:
    """Write frames named 1, 2, ... 10, whose order is not that of the sorted names."""
    folder.mkdir(parents=True)
    for number, image in enumerate(frames, first):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def make_hr(folder: Path) -> Path:
    """Write a video file and two folders of frames."""
    for seed, (name, size) in enumerate(SIZES.items()):
        if name == "a":
            folder.mkdir(parents=True)
            make_video(folder / "a.mp4", images(*size, seed))
        else:
            write_png(folder / name, images(*size, seed))
    return folder


def copy_folder(source: Path, target: Path) -> Path:
    """Copy a folder with its file times."""
    return Path(shutil.copytree(source, target))


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files in a folder, including hidden ones, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def write_times(folder: Path) -> dict[str, int]:
    """Return the modification time of each file in nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def digest_by_docstring(folder: Path) -> str:
    """Hash a folder with the code in the docstring of `Digest`, which does not use this package."""
    recipe = re.search(r"::\n\n(.+?)\n\nArgs:", inspect.getdoc(Digest) or "", re.DOTALL)
    assert recipe is not None
    names: dict[str, Any] = {"folder": folder, "numpy": numpy, "Image": Image, "hashlib": hashlib, "re": re}
    exec(dedent(recipe[1]), names)
    return names["sha256"].hexdigest()
