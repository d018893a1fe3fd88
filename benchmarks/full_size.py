"""SVD's true size on a CPU with random weights: what `make full-size` runs.

Writes SVD's U-Net, VAE and CLIP encoder to a folder, upscales a real clip with the ordinary command, and runs
one forward and backward of the U-Net. Each part is a process of its own. This one stays small: it does not
import torch.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.watching import watched

Part = tuple[Sequence[str], Mapping[str, str], str]
"""Command, names of phases -> texts that end them, name of the last phase."""

PARTS = ("upscale", "encode", "train")


def main() -> None:
    """Run the parts in order and print seconds and peak memory of their phases."""
    asked = _arguments()
    for name, (command, ends, last) in _parts(asked.folder.resolve(), asked.frames, asked.side):
        if name in ("prepare", *asked.parts):
            for phase in watched(command, ends, last):
                print(f"{name}, {phase}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description=__doc__)
    parser.add_argument("folder", type=Path, help="weights and results; weights that it holds are used again")
    parser.add_argument("--frames", type=int, default=14, help="frames of the clip (default 14)")
    parser.add_argument("--side", type=int, default=128, help="LR pixels, a multiple of 32 (default 128)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="parts to run (default all)")
    return parser.parse_args()


def _parts(folder: Path, frames: int, side: int) -> Iterator[tuple[str, Part]]:
    yield "prepare", (_python("prepare", folder, frames, side), {}, "write weights and clip")
    ends = {"load": "upscale:   0%|", "encode and sample": "upscale: 100%|"}
    yield "upscale", (_upscale(folder, frames, side), ends, "decode and write")
    yield "encode", (_python("encode", folder, frames, side), {}, "load and encode")
    ends = {"load": "loaded", "forward": "loss"}
    yield "train", (_python("train", folder, frames, side), ends, "backward")


def _python(function: str, folder: Path, frames: int, side: int) -> list[str]:
    code = f"from benchmarks.true_size import *; {function}(Path({str(folder)!r}), {frames}, {side})"
    return [sys.executable, "-c", code]


def _upscale(folder: Path, frames: int, side: int) -> list[str]:
    """Return the command: SAP over 2x2 tiles at the first step, TAP over two windows at the second.

    The tiles share no pixels, and the windows share one or two frames, because each tile takes minutes.
    """
    return [
        *(sys.executable, "-m", "dcvsr.upscale", "scale=svd", f"model.weights={folder}"),
        *(f"ckpt={folder / 'unet'}", f"input={folder / 'lr.mkv'}", f"output={folder / 'result.mkv'}"),
        *(f"tile.size={side // 4}", f"tile.frames={frames // 2 + 1}", "tile.overlap=0", "sampler.steps=2"),
        *("device=cpu", "precision=float32", f"runs={folder / 'runs'}"),
    ]


if __name__ == "__main__":
    main()
