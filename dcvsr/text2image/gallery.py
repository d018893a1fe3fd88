"""Generated images in a run folder; a resumed run generates only the missing ones."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dcvsr.evaluation.progress import require_same
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_json, read_text, write_whole
from dcvsr.text2image.generation import GeneratedImages

DEPENDS = ("seed", "sampler", "guidance")
"""Settings that images depend on, besides weights and captions."""


class Gallery:
    """Images in ``images/``, their captions in captions.txt, and their cost in images.json.

    Args:
        folder: of the run.
        identity: ``settings`` and ``weights`` that the images belong to.
        captions: one per image; a later run may append captions.

    Raises:
        UserError: if the folder holds images of other settings, weights or captions.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], captions: Sequence[str]) -> None:
        self.folder = folder
        settings = {key: identity["settings"][key] for key in DEPENDS}
        self.identity = {"settings": settings, "weights": identity["weights"]}
        self.forwards, self.cost = 0.0, {"evaluations": 0, "seconds": 0.0}
        self.files = [folder / "images" / f"{i:05d}.png" for i in range(len(captions))]
        known: list[str] = []
        if (state := folder / "images.json").exists():
            before, known = read_json(state), read_text(folder / "captions.txt").splitlines()
            require_same(folder, before, self.identity)
            _require_same_captions(folder, known, captions)
            self.forwards, self.cost = before["forwards"], before["cost"]
        if len(captions) > len(known):
            write_whole(folder / "captions.txt", "".join(f"{caption}\n" for caption in captions))

    def todo(self, batch: int) -> list[range]:
        """Return the batches with missing images; the division into batches does not depend on progress."""
        starts = range(0, len(self.files), batch)
        batches = [range(start, min(start + batch, len(self.files))) for start in starts]
        return [numbers for numbers in batches if not all(self.files[i].exists() for i in numbers)]

    def add(self, generated: GeneratedImages) -> None:
        """Store missing images, writing the cost first so that a stop in between does not lose it."""
        self.forwards = generated.forwards
        self.cost["evaluations"] += generated.evaluations
        self.cost["seconds"] += generated.seconds
        content = {**self.identity, "forwards": self.forwards, "cost": self.cost}
        write_whole(self.folder / "images.json", json.dumps(content, indent=2, ensure_ascii=False))
        for i, image in generated.images.items():
            if not self.files[i].exists():
                png = io.BytesIO()
                image.save(png, "PNG")
                write_whole(self.files[i], png.getvalue())


def _require_same_captions(folder: Path, before: Sequence[str], now: Sequence[str]) -> None:
    """Raise UserError unless one list of captions is a prefix of the other."""
    for i, (there, here) in enumerate(zip(before, now, strict=False)):
        if there != here:
            raise UserError(
                f"{folder} holds images of other captions (image {i} is of '{there}' there, "
                f"of '{here}' here); name another folder or move it away"
            )
