"""Peak memory: on a GPU of one tile's workspace, and on a CPU the predicted against the measured."""

import ctypes
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import dcvsr
from benchmarks.models import MODELS, Scene, configured
from benchmarks.report import Line
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.models.peak_memory import PeakMemory, Window
from dcvsr.models.upscaler import TiledUpscaler


def memory(scene: Scene) -> Iterator[Line]:
    """A SAP step over tiles by one, against the same tiles in one batch."""
    sap = configured("propagation", "propagation=sap")
    peaks = {}
    for batch in (1, None):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        scene.denoise(sap, NoGuidance(), batch=batch)
        peaks[batch] = (torch.cuda.max_memory_allocated() - before) / 2**30
    yield Line(f"SAP, {scene.tiles**2} tiles in one batch, peak workspace", peaks[None], unit=" GiB")
    yield Line(f"SAP, {scene.tiles**2} tiles by one, peak workspace", peaks[1], unit=" GiB")
    yield Line("SAP, workspace by one of that in one batch", peaks[1] / peaks[None], at_most=1)


def predicted() -> Iterator[Line]:
    """Memory of nano's stages beside the model, predicted without running them over measured."""
    for exchange in ("lockstep", "two_pass"):
        settings = ["propagation=sap", f"propagation.sap.exchange={exchange}", "tile.overlap=0.5"]
        upscaler = _nano(*settings)
        for tiles in (2, 3, 4):
            yield _compared(f"{exchange}, {tiles**2} tiles", *_sampling(upscaler, tiles))
    for side in (96, 160, 256):
        yield _compared(f"decode a frame of {4 * side}x{4 * side}", *_decoding(_nano(), side))


def _nano(*settings: str) -> TiledUpscaler:
    upscaler = dcvsr.load("nano", device="cpu", dtype="float32", overrides=settings).upscaler
    assert isinstance(upscaler, TiledUpscaler)
    return upscaler


def _sampling(upscaler: TiledUpscaler, tiles: int) -> tuple[int, int]:
    """Return predicted and measured bytes of one evaluation of a window."""
    scene, small = (Scene(MODELS["nano"], upscaler.denoiser, n, windows=1) for n in (tiles, 1))
    side = 32 * (tiles + 1) // 2  # LR pixels and latents are equally large
    window = Window(upscaler.windows(8, side, side)[0], 0, 5.0, 1)
    assert len(window.tiles) == tiles**2
    small.denoise(upscaler.propagation, upscaler.guidance)  # what stays for good, such as code
    return PeakMemory(upscaler, "cpu").window(window), _resident(
        lambda: scene.denoise(upscaler.propagation, upscaler.guidance)
    )


@torch.inference_mode()
def _decoding(upscaler: TiledUpscaler, side: int) -> tuple[int, int]:
    coder = upscaler.latents.autoencoder

    def decode(side: int) -> None:
        y, l = torch.rand(2, 1, 1, coder.channels, side, side)
        upscaler.latents.decode(y, l).clamp(0, 1)

    decode(32)
    return PeakMemory(upscaler, "cpu").decoding(1, side, side), _resident(lambda: decode(side))


def _compared(stage: str, predicted: int, measured: int) -> Line:
    sizes = f"{predicted / 1e6:.0f} MB predicted, {measured / 1e6:.0f} MB measured"
    return Line(f"memory, {stage}: {sizes}, ratio", predicted / measured, at_least=0.8, at_most=1.2)


def _resident(run: Callable[[], object]) -> int:
    """Return by how many bytes the resident size of this process exceeds that before ``run``; on Linux."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes the present size
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))
