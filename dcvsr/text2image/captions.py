"""Captions for image generation, from COCO or from the user."""

import random
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, read_text

VAL2014 = "COCO_val2014_"
"""Prefix of image names in COCO's 2014 validation set."""


def repeated(captions: Sequence[str], count: int) -> list[str]:
    """Return ``count`` captions by cycling through ``captions``."""
    return list(islice(cycle(captions), count))


def drawn(path: str, count: int, seed: int) -> list[str]:
    """Draw captions from a file in random order; a larger ``count`` only appends captions.

    Args:
        path: COCO's captions in JSON, or a text file with one caption per line.
        count: number of captions.
        seed: of the order.

    Raises:
        UserError: if the file cannot be read as captions, or has fewer than ``count``.
    """
    file = Path(path)
    captions = _coco(file) if file.suffix == ".json" else read_text(file).splitlines()
    captions = [caption for line in captions if (caption := " ".join(line.split()))]
    if len(captions) < count:
        raise UserError(f"{file} has {len(captions)} captions, {count} are needed; lower captions.count")
    random.Random(seed).shuffle(captions)
    return captions[:count]


def of_val2014(path: str) -> bool:
    """Check if a file holds COCO's captions of images of its 2014 validation set only.

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
        raise UserError(
            f"{file} is not a captions file of COCO: it lacks annotations[].caption; "
            "give captions_*.json or a text file"
        ) from error
