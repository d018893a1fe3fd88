"""``python -m benchmarks``: what `make bench` and `make gpu-check` run."""

import argparse
import json
import platform
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch

from benchmarks.attention import added, idle, lockstep
from benchmarks.degradation import degradation
from benchmarks.guidance import guidance
from benchmarks.loader import loader
from benchmarks.memory import memory, predicted
from benchmarks.models import MODELS, Scene
from benchmarks.prepared import prepared
from benchmarks.ranks import ranks
from benchmarks.report import Line
from benchmarks.tiling import seams, shifted_tiles


def main() -> None:
    """Print a line a claim; with ``--json``, the same as one file."""
    asked = _arguments()
    device = "cuda" if asked.gpu else "cpu"
    if asked.gpu and not torch.cuda.is_available():
        raise SystemExit("benchmarks: --gpu, but torch sees no GPU here")
    lines = []
    for name, line in _all(asked, device):
        print(f"{name}  {line}", flush=True)
        lines.append({"model": name, **line.plain()})
    if asked.json:
        machine = torch.cuda.get_device_name() if asked.gpu else platform.processor() or platform.machine()
        about = {"machine": machine, "torch": torch.__version__, "threads": torch.get_num_threads()}
        asked.json.write_text(json.dumps({**about, "commit": _commit(), "lines": lines}, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="SVD's true size on a GPU, in bfloat16")
    parser.add_argument("--pairs", type=int, default=20, help="interleaved pairs a ratio (default 20)")
    parser.add_argument("--ckpt", help="a nano checkpoint, for the seams of shifted tiles")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    return parser.parse_args()


def _all(asked: argparse.Namespace, device: str) -> Iterator[tuple[str, Line]]:
    for name in ["svd"] if asked.gpu else ["nano", "mid"]:
        denoiser = MODELS[name].denoiser(device, torch.bfloat16 if asked.gpu else torch.float32)
        window, tile = (Scene(MODELS[name], denoiser, tiles, windows=1) for tiles in (2, 1))
        chained = Scene(MODELS[name], denoiser, tiles=1, windows=3)
        measured = [
            idle(tile, asked.pairs),
            guidance(tile, asked.pairs),
            lockstep(window, max(3, asked.pairs // 4)),
            added(window, chained, max(3, asked.pairs // 4)),
            memory(Scene(MODELS[name], denoiser, tiles=3, windows=1)) if asked.gpu else [],
        ]
        yield from ((name, line) for line in chain(*measured))
    yield from (("realbasicvsr", line) for line in degradation(device, max(3, asked.pairs // 4)))
    if not asked.gpu:
        yield from (("nano", line) for line in predicted())
        yield from (("nano", line) for line in loader(max(3, asked.pairs // 4)))
        yield from prepared(max(3, asked.pairs // 4))
        yield from (("nano", line) for line in ranks(max(3, asked.pairs // 4)))
        yield from (("svd", line) for line in shifted_tiles())
        yield from (("nano", line) for line in (seams(asked.ckpt) if asked.ckpt else []))


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
