"""Peak memory on a GPU: one tile's workspace, whatever the number of tiles."""

from collections.abc import Iterator

import torch

from benchmarks.models import Scene, configured
from benchmarks.report import Line
from dcvsr.diffusion.guidance import NoGuidance


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
