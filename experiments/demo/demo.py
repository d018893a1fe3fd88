"""The main job on the embedded default, by the commands a user would type: what `make demo` runs.

Trains both stages at scale=nano on the packaged clips, upscales a real clip that neither has seen, scores
dcvsr against bicubic where the truth is known, and gathers it all into outputs/demo/report.html.
"""

import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

OUT = Path("outputs/demo")
FRAMES = 16


def dcvsr(command: str, *arguments: str) -> None:
    """Print and run ``python -m dcvsr.<command> ...``; stop where it stops."""
    print(f"\n$ python -m dcvsr.{command} {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", f"dcvsr.{command}", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def first_frames(path: Path) -> None:
    """The first frames of carphone, losslessly, as a clip of its own."""
    from dcvsr.data.packaged import packaged
    from dcvsr.data.video import read_video, to_unit, write_clip

    video = read_video(packaged("carphone_pristine"))
    write_clip(path, to_unit(video.frames[:FRAMES]), Fraction(video.rate), crf=0)


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
    clip, runs = OUT / "carphone.mp4", f"runs={OUT}"

    def upscale(upscaler: str) -> None:
        dcvsr(
            "upscale", f"input={clip}", f"output={OUT}/carphone_{upscaler}.mp4", f"upscaler={upscaler}", runs
        )

    def evaluate(upscaler: str) -> None:
        dcvsr("evaluate", f"upscaler={upscaler}", runs, f"hydra.run.dir={OUT}/evaluate_{upscaler}")

    def report() -> None:
        dcvsr(
            "report",
            f"output={OUT}/report.html",
            f"+pairs.carphone.left={OUT}/carphone_bicubic.mp4",
            "+pairs.carphone.left_label=bicubic",
            f"+pairs.carphone.right={OUT}/carphone_dcvsr.mp4",
            "+pairs.carphone.right_label=dcvsr nano",
            *(f"+trainings.{name}={OUT}/{name}" for name in ("stage1", "stage2")),
            f"settings=[{OUT}/carphone_dcvsr.json]",
            runs,
        )

    seconds = timed(
        {
            "train stage 1": lambda: dcvsr(
                "train", "+experiment=stage1", runs, f"hydra.run.dir={OUT}/stage1"
            ),
            "train stage 2": lambda: dcvsr(
                "train", "+experiment=stage2", runs, f"hydra.run.dir={OUT}/stage2"
            ),
            "cut the clip": lambda: first_frames(clip),
            "upscale": lambda: upscale("dcvsr"),
            "upscale, bicubic": lambda: upscale("bicubic"),
            "score": lambda: evaluate("dcvsr"),
            "score, bicubic": lambda: evaluate("bicubic"),
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
    print(f"weights   {OUT}/stage2/checkpoints/last.ckpt")
    print(f"report    {OUT}/report.html          open it in a browser")


if __name__ == "__main__":
    main()
