"""Stage 3 on crops of several tiles, with propagation: README.md, section "Trained with propagation".

Axes: latent ``b f k h w``, of one clip.
"""

from functools import partial

from torch import Tensor

from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.models.denoiser import Condition
from dcvsr.models.tiled import TiledDenoiser, grouped
from dcvsr.tiling.canvas import Canvas
from dcvsr.training.few_steps import FewStepModule


class TiledTraining(FewStepModule):
    """Stage 3 whose estimate is inference's: of tiles that exchange keys and values, blended.

    Gradients flow through keys and values that a tile receives. All tiles share the clip's image embedding,
    which is constant at scale=nano.
    """

    def _estimated(self, x: Tensor, sigma: float, c: Condition) -> Tensor:
        up, canvas = self.upscaler, Canvas(x[0], self.upscaler.blend, self.upscaler.blend_time)
        windows = partial(up.grid.windows, x.shape[1], *x.shape[3:])
        tiled = TiledDenoiser(
            *(self.denoiser, NoGuidance(), up.propagation, windows),
            lambda tile: Condition(c.latent[(0, *tile.index)][None], c.image),
            *(up.blend, up.blend_time, up.sampler.steps, None),
        )
        round = tiled.round(0)
        with self.denoiser.propagated():
            for visit in tiled.visits(0):
                groups = grouped(visit.tiles, None)
                window = x[0, visit.frames.start : visit.frames.stop]
                estimates = tiled.estimates(window, visit, groups, round, sigma, 0)
                for group, D in zip(groups, estimates, strict=True):
                    for tile, D_m in zip(group.values(), D, strict=True):
                        canvas.add(tile, D_m)
        return canvas.merge()[None]
