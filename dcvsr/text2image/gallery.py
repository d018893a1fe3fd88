"""Images of captions in a run folder: what is made is not made again."""

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
"""Settings that images depend on, beside weights and captions."""


class Gallery:
    """``images/``, the captions in captions.txt, and what making them took in images.json, all by ``add``.

    Args:
        folder: of the run.
        identity: ``settings`` and ``weights``, of which images are.
        captions: of which an image each; another run may go on with more.

    Raises:
        UserError: if the folder holds images of others.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], captions: Sequence[str]) -> None:
        self.folder = folder
        settings = {key: identity["settings"][key] for key in DEPENDS}
        self.told = {"settings": settings, "weights": identity["weights"]}
        self.forwards, self.cost = 0.0, {"evaluations": 0, "seconds": 0.0}
        self.files = [folder / "images" / f"{i:05d}.png" for i in range(len(captions))]
        known: list[str] = []
        if (state := folder / "images.json").exists():
            before, known = read_json(state), read_text(folder / "captions.txt").splitlines()
            require_same(folder, before, self.told)
            _require_one_list(folder, known, captions)
            self.forwards, self.cost = before["forwards"], before["cost"]
        if len(captions) > len(known):
            write_whole(folder / "captions.txt", "".join(f"{caption}\n" for caption in captions))

    def todo(self, batch: int) -> list[range]:
        """Batches with an image that is still to be made; the same ones whenever a run was stopped."""
        starts = range(0, len(self.files), batch)
        batches = [range(start, min(start + batch, len(self.files))) for start in starts]
        return [numbers for numbers in batches if not all(self.files[i].exists() for i in numbers)]

    def add(self, drawn: GeneratedImages) -> None:
        """Keep images that are not there yet; what they took comes first, so that it is never lost."""
        self.forwards = drawn.forwards
        self.cost["evaluations"] += drawn.evaluations
        self.cost["seconds"] += drawn.seconds
        content = {**self.told, "forwards": self.forwards, "cost": self.cost}
        write_whole(self.folder / "images.json", json.dumps(content, indent=2, ensure_ascii=False))
        for i, image in drawn.images.items():
            if not self.files[i].exists():
                png = io.BytesIO()
                image.save(png, "PNG")
                write_whole(self.files[i], png.getvalue())


def _require_one_list(folder: Path, before: Sequence[str], now: Sequence[str]) -> None:
    """Raises UserError unless one list of captions begins with the other."""
    for i, (there, here) in enumerate(zip(before, now, strict=False)):
        if there != here:
            raise UserError(
                f"{folder} holds images of other captions already (image {i} is of '{there}' there, "
                f"of '{here}' here); name another folder, or move it away"
            )
