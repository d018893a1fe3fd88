"""Making of the shards of a `LatentSet`, on one device."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from einops import rearrange
from torch import Tensor

from dcvsr.data.datamodule import VSRDataModule
from dcvsr.data.latent_set import LatentSet
from dcvsr.models.conditioning import Conditioning
from dcvsr.runtime.errors import UserError
from dcvsr.training.latent_contents import Encoders
from dcvsr.training.sample_draws import pixel_noise

Batch = dict[str, Tensor]
Row = list[dict[str, Tensor]]
"""The draws of a crop: name -> tensor without axes of crop and draw."""


class Encoding:
    """Encoder of degraded crops, one at a time, so that results do not depend on other crops of a batch.

    Args:
        encoders: parts of the model, on the device of the batches.
        seed: seed of the pixel noise.
        law: mean and standard deviation of ln of its strength; None for the model's strength (spec A14).
    """

    def __init__(self, encoders: Encoders, seed: int, law: Sequence[float] | None) -> None:
        self._encoders, self._seed, self._law = encoders, seed, law

    @torch.no_grad()
    def __call__(self, clip: Batch, has_target: bool) -> dict[str, Tensor]:
        """Compute latents and embeddings of a batch of one clip, without the axis of the batch.

        Args:
            clip: ``hr``, ``lr``, ``epoch`` and ``number``.
            has_target: True to compute y too.
        """
        model = self._encoders
        noise = pixel_noise(self._seed, clip, model.noise_augmentation, self._law)
        parts = model.upsample, model.latents, model.image_encoder, model.image_frames
        found = Conditioning(clip["lr"], *parts, noise, None, None)
        c = found.condition()
        made = {"l": c.latent, "image": c.image, "noise_augmentation": c.noise_augmentation}
        if has_target:
            made["y"] = model.latents.target(clip["hr"], found.shown)
        return {name: part[0] for name, part in made.items() if part is not None}


def made(
    latents: LatentSet,
    shards: Sequence[int],
    data: VSRDataModule,
    encode: Callable[[Batch, bool], dict[str, Tensor]],
    targets: bool,
    device: torch.device,
) -> Iterator[int]:
    """Write shards in order, each when its last crop is encoded, and yield the samples of each batch.

    Args:
        latents: the set.
        shards: numbers of the shards.
        data: clips and degradation.
        encode: as `Encoding`.
        targets: True if each draw has a y of its own.
        device: device of the degradation and of ``encode``.

    Raises:
        UserError: if a shard cannot be written, or a number is too large for the stored type.
    """
    draws, crops = latents.layout.draws, [crop for shard in shards for crop in latents.crops(shard)]
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    for read in data.draws(crops, draws, device):
        moved = {name: part.to(device) for name, part in read.items() if isinstance(part, Tensor)}
        batch = data.on_after_batch_transfer({**read, **moved}, 0)
        for first in range(0, len(batch["hr"]), draws):
            samples = (slice(first + draw, first + draw + 1) for draw in range(draws))
            clips = [{name: part[sample] for name, part in batch.items()} for sample in samples]
            shard = int(clips[0]["number"]) // latents.layout.shard
            rows[shard].append([encode(clip, targets or draw == 0) for draw, clip in enumerate(clips)])
            if len(rows[shard]) == len(latents.crops(shard)):
                latents.write(shard, _stacked(rows.pop(shard), latents.layout.dtype))
        yield len(batch["hr"])


def _stacked(crops: list[Row], dtype: str) -> dict[str, Tensor]:
    """Stack draws and crops: name -> ``d c ...``; what only the first draw has gets one draw."""
    stored = {}
    for name in crops[0][0]:
        parts = [[draw[name] for draw in crop if name in draw] for crop in crops]
        exact = rearrange([torch.stack(crop) for crop in parts], "c d ... -> d c ...").cpu()
        stored[name] = exact.to(getattr(torch, dtype)).contiguous()
        if not stored[name].isfinite().all():
            raise UserError(f"{name} is too large for dtype={dtype}; choose dtype=float32 or bfloat16")
    return stored
