"""``python -m dcvsr.data.reds input=FOLDER output=data/REDS``: links REDS's unpacked zips as one folder."""

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from dcvsr.data.reds_layout import FRAMES, official_clips
from dcvsr.runtime.cli import command
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

SIZE = (1280, 720)
"""Width and height of REDS frames."""


@command("reds")
def main(cfg: DictConfig) -> None:
    """Link the 270 clips, numbered 000 to 269, in the output folder; all or none."""
    source, output = Path(cfg.input), Path(cfg.output)
    clips = official_clips(source)
    _require_size(clips)
    if output.exists() or output.is_symlink():
        raise UserError(f"{output} exists; name a new folder")
    log.info(f"{source}: {len(clips)} clips of {FRAMES} frames, {SIZE[0]}x{SIZE[1]}, complete")
    if cfg.dry_run:
        return
    _link(clips, output)
    log.info(f"{output}: {len(clips)} links; train with data=reds data.path={output}")


def _require_size(clips: Mapping[str, Path]) -> None:
    """Raise UserError if the first frame of a clip does not have the size of REDS frames."""
    from PIL import Image

    for clip in clips.values():
        frame = clip / f"{0:08d}.png"
        try:
            with Image.open(frame) as image:
                width, height = image.size
        except OSError as error:
            raise UserError(f"{frame} cannot be read as an image; unpack it again") from error
        if (width, height) != SIZE:
            raise UserError(
                f"{frame} is {width}x{height}, but REDS frames are {SIZE[0]}x{SIZE[1]}: unpack train_sharp "
                "and val_sharp, not their blurred or downsampled versions"
            )


def _link(clips: Mapping[str, Path], output: Path) -> None:
    """Create the links; they are relative, so that both folders can be moved together."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".") as scratch:
            unfinished = Path(scratch, output.name)
            unfinished.mkdir()
            for name, clip in clips.items():
                (unfinished / name).symlink_to(os.path.relpath(clip.resolve(), output.resolve()))
            unfinished.replace(output)
    except OSError as error:
        raise UserError(f"cannot write {output} ({error.strerror}); name another output") from error


if __name__ == "__main__":
    main()
