"""Captions to make images of: COCO's, or one's own."""

import random
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, read_text

VAL2014 = "COCO_val2014_"
"""Start of the names of images of COCO's 2014 validation set."""


def repeated(captions: Sequence[str], count: int) -> list[str]:
    """``count`` captions in their order, over and over."""
    return list(islice(cycle(captions), count))


def drawn(path: str, count: int, seed: int) -> list[str]:
    """``count`` captions in random order, the same first ones whatever ``count`` is.

    Args:
        path: captions in COCO's JSON, or a text file with one a line.

    Raises:
        UserError: if the file is no such file, or has fewer.
    """
    file = Path(path)
    captions = _coco(file) if file.suffix == ".json" else read_text(file).splitlines()
    captions = [caption for line in captions if (caption := " ".join(line.split()))]
    if len(captions) < count:
        raise UserError(f"{file} has {len(captions)} captions, {count} are needed; lower captions.count")
    random.Random(seed).shuffle(captions)
    return captions[:count]


def of_val2014(path: str) -> bool:
    """Tell whether a captions file is COCO's and of images of its 2014 validation set alone.

    Raises:
        UserError: if the file cannot be read.
    """
    if Path(path).suffix != ".json":
        return False
    images = read_json(Path(path)).get("images", [])
    return bool(images) and all(str(image.get("file_name")).startswith(VAL2014) for image in images)


def _coco(file: Path) -> list[str]:
    try:
        return [str(annotation["caption"]) for annotation in read_json(file)["annotations"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{file} is no captions file of COCO: it lacks annotations[].caption") from error
