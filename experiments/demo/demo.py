"""The main job on the embedded default, by the commands a user would type: what `make demo` runs.

Upscales a real clip that the model in the box has never seen, scores it against bicubic where the truth is
known, trains its stage 2 a little further on the packaged clips, and gathers all in outputs/demo/report.html.
"""

import resource
import shutil
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from dcvsr.runtime.cli import run

OUT = Path("outputs/demo")
FRAMES = 16


def first_frames(path: Path, count: int) -> None:
    """The first ``count`` frames of carphone, losslessly, as a clip of its own."""
    from dcvsr.data.packaged import packaged
    from dcvsr.video.io import read_video, to_unit, write_clip

    video = read_video(packaged("carphone_pristine"))
    write_clip(path, to_unit(video.frames[:count]), Fraction(video.rate), crf=0)


def timed(steps: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Run the steps in order; seconds of each."""
    seconds = {}
    for name, step in steps.items():
        started = time.monotonic()
        step()
        seconds[name] = time.monotonic() - started
    return seconds


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    clip = OUT / "carphone.mp4"

    def upscale(upscaler: str) -> None:
        run("upscale", f"input={clip}", f"output={OUT}/carphone_{upscaler}.mp4", f"upscaler={upscaler}")

    def evaluate(upscaler: str) -> None:
        folder = f"hydra.run.dir={OUT}/evaluate_{upscaler}"
        run("evaluate", f"upscaler={upscaler}", "ckpt=shipped", "seeds=3", folder)

    def train() -> None:
        run("train", "+experiment=stage2", "ckpt=shipped", f"hydra.run.dir={OUT}/stage2")

    def report() -> None:
        run(
            "report",
            f"output={OUT}/report.html",
            f"+pairs.carphone.left={OUT}/carphone_bicubic.mp4",
            "+pairs.carphone.left_label=bicubic",
            f"+pairs.carphone.right={OUT}/carphone_dcvsr.mp4",
            "+pairs.carphone.right_label=dcvsr nano",
            f"+trainings.stage2={OUT}/stage2",
            f"settings=[{OUT}/carphone_dcvsr.mp4.json]",
            f"runs={OUT}",
        )

    seconds = timed(
        {
            "cut the clip": lambda: first_frames(clip, FRAMES),
            "upscale": lambda: upscale("dcvsr"),
            "upscale, bicubic": lambda: upscale("bicubic"),
            "score": lambda: evaluate("dcvsr"),
            "score, bicubic": lambda: evaluate("bicubic"),
            "train": train,
            "report": report,
        }
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\n{sum(seconds.values()) / 60:.1f} minutes, at most {peak:.1f} GiB of memory a process: ", end="")
    print(", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))
    print(
        f"\nupscaled  {OUT}/carphone_dcvsr.mp4   {FRAMES} real frames, 176x144 -> 704x576, never trained on"
    )
    print(f"          {OUT}/carphone_bicubic.mp4 the same by bicubic")
    print(f"trained   {OUT}/stage2/checkpoints/last.ckpt  stage 2 of the model in the box, a minute further")
    print(f"report    {OUT}/report.html          open it in a browser")


if __name__ == "__main__":
    main()
