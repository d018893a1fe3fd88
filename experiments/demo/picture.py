"""README's pictures: ``python experiments/demo/picture.py`` makes carphone.png and leaves.png beside it.

carphone is real and shown as it is; leaves is synthetic, of a seed that training never saw, degraded as
``degradation=light`` does, so that its truth stands beside. What is there is not made again.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from demo import first_frames

from dcvsr.data.synthetic import Occlusion
from dcvsr.video.frame_folder import write_frames

HERE = Path(__file__).parent
OUT = Path("outputs/pictures")
FRAMES = 8


def strip(name: str, *clips: str) -> None:
    """``name``.png: experiments/figures/strip of these clips."""
    command = [sys.executable, str(HERE.parent / "figures/figures.py"), "strip", *clips]
    done = subprocess.run([*command, "--output", str(OUT)], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    shutil.move(OUT / "strip.png", HERE / f"{name}.png")


def main() -> None:
    real, synthetic = OUT / "real", OUT / "synthetic"
    for folder in (real, synthetic):
        folder.mkdir(parents=True, exist_ok=True)
    first_frames(real / "carphone.mp4", FRAMES)
    if not (synthetic / "leaves").exists():
        leaves = Occlusion(
            seed=21, frames=FRAMES, height=320, width=480, dx=0.9, dy=0.5, front_dx=-1.7, front_dy=0.4
        )
        write_frames(synthetic / "leaves", leaves.read(0, FRAMES).permute(0, 2, 3, 1).numpy(), [])
    strip("carphone", "--lr", str(real))
    strip("leaves", "--data", str(synthetic), "--degradation", "light")


if __name__ == "__main__":
    main()
