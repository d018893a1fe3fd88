"""README's picture: the middle of carphone's first frame as pixels, by bicubic, and by dcvsr.

`python experiments/demo/picture.py outputs/demo experiments/demo/carphone.png`
"""

import sys
from pathlib import Path

import torch
from PIL import Image

from dcvsr.data.video import read_video

SIDE = 288  # of a panel, in pixels of the enlarged frame


def panel(path: Path, side: int) -> torch.Tensor:
    """The middle of the first frame: uint8 ``h w c``."""
    frame = read_video(path).frames[0]
    top, left = ((n - side) // 2 for n in frame.shape[1:])
    return frame[:, top : top + side, left : left + side].permute(1, 2, 0)


def main(demo: Path, picture: Path) -> None:
    pixels = panel(demo / "carphone.mp4", SIDE // 4).repeat_interleave(4, 0).repeat_interleave(4, 1)
    panels = [pixels, *(panel(demo / f"carphone_{name}.mp4", SIDE) for name in ("bicubic", "dcvsr"))]
    Image.fromarray(torch.cat(panels, dim=1).numpy()).save(picture, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
