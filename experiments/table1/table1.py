"""Table 1 in miniature, by one command: ``python experiments/table1/table1.py CLIPS NAME ...``.

The first frames of each clip, the middle of the picture, are degraded to an LR set, restored by each upscaler
and scored by the paper's metrics: outputs/table1/table1.md has the paper's rows and columns. A table that was
stopped goes on where it was.
"""

import argparse
import sys
from pathlib import Path

from dcvsr.runtime.cli import run

OUT = Path("outputs/table1")


def main() -> None:
    asked = _arguments()
    paths = {path.stem: path for path in sorted(asked.clips.iterdir())}
    if unknown := [name for name in asked.names if name not in paths]:
        sys.exit(f"table1: {asked.clips} has no {', '.join(unknown)}; it has {', '.join(paths)}")
    part = f"{asked.frames}x{asked.side}x{asked.side}"
    hr, lr, runs = OUT / f"hr_{part}", OUT / f"lr_{part}_{asked.degradation}", OUT / "runs"
    for name in asked.names:
        _cut(paths[name], hr / name, asked.frames, asked.side)
    run("degrade", f"input={hr}", f"output={lr}", f"degradation={asked.degradation}", "workers=2")
    run(
        "evaluate",
        "-m",
        "+experiment=table1",
        "data=pairs",
        f"data.path={hr}",
        f"data.lr={lr}",
        "degradation=none",
        f"metrics.flow={asked.flow}",
        f"hydra.sweep.dir={runs}",
        *asked.overrides,
    )
    run("report", f"output={OUT}/table1.html", f"runs={runs}", f"truth={hr}", "+paper=table1")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, help="a folder of videos")
    parser.add_argument("names", nargs="+", help="those to take, without suffix")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=384, help="HR pixels, a multiple of 4")
    parser.add_argument("--degradation", default="light")
    parser.add_argument("--flow", default="spynet", help="raft, as the paper, where its weights are")
    parser.add_argument(
        "--overrides", nargs="*", default=[], help="of python -m dcvsr.evaluate, such as ckpt=FILE"
    )
    return parser.parse_args()


def _cut(path: Path, folder: Path, frames: int, side: int) -> None:
    """The first frames' middle as PNG, where it is not there yet."""
    from einops import rearrange

    from dcvsr.video.frame_folder import write_frames
    from dcvsr.video.io import read_video

    if folder.exists():
        return
    video = read_video(path).frames[:frames]
    if len(video) < frames or min(video.shape[-2:]) < side:
        sys.exit(
            f"table1: {path} is smaller than {frames} frames of {side}x{side}; ask for less or leave it out"
        )
    top, left = ((length - side) // 2 for length in video.shape[-2:])
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_frames(folder, rearrange(video, "f c h w -> f h w c").numpy()[:, top:, left:][:, :side, :side], [])


if __name__ == "__main__":
    main()
