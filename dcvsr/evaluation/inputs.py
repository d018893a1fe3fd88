"""Inputs of an evaluation: LR clips and their references, checked before the first clip is read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from dcvsr.data.clips import Clip
from dcvsr.data.pairs import Pair, require_one_lr
from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.seeds import generator
from dcvsr.degradation.walk import Params
from dcvsr.degrade.clip_hash import Digest
from dcvsr.degrade.manifest import Entry, read
from dcvsr.degrade.software import versions
from dcvsr.imaging import FACTOR
from dcvsr.runtime.cache import Cache, NoCache
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import to_bytes, to_unit

Clips = Mapping[str, Clip | Pair]

UNCACHED = NoCache()


@dataclass(frozen=True)
class InputClip:
    """All frames of a clip.

    Args:
        lr: ``f c h w`` in [0, 1].
        hr: the reference, or None.
        parameters: of the degradation, None if unknown.
    """

    lr: Tensor
    hr: Tensor | None
    parameters: Params | None

    @property
    def digest(self) -> str:
        """Hash of LR by `dcvsr.degrade.clip_hash`; evaluations are comparable if it is equal."""
        frames, _, height, width = self.lr.shape
        digest = Digest(frames, height, width)
        for frame in to_bytes(self.lr):
            digest.update(frame)
        return digest.digits


class Sources:
    """LR and reference clips by name; LR is the clip's own, or made like `dcvsr.degrade` with this seed.

    Args:
        clips: HR clips, or pairs.
        degradation: applied to HR clips.
        seed: of the degradation.
        manifest: of the pairs' LR set, if it has one.
        cache: stores LR that the degradation makes.

    Raises:
        UserError: if a clip has no LR or two sources of LR, or if its HR cannot be downsampled.
    """

    def __init__(
        self,
        clips: Clips,
        degradation: Degradation,
        seed: int,
        manifest: Path | None,
        cache: Cache | NoCache = UNCACHED,
    ) -> None:
        self.parameters: dict[str, Params] = {}
        for name, clip in clips.items():
            require_one_lr(name, clip, degradation)
            if not isinstance(clip, Pair):
                self.parameters[name] = _drawn(name, clip, degradation, seed)
        self.clips, self.degradation, self.cache = clips, degradation, cache
        self.entries = read(manifest).clips if manifest is not None and manifest.is_file() else {}

    def require_reference(self, metrics: Collection[str]) -> None:
        """Raise UserError if a clip has no reference although ``metrics`` need one."""
        for name, clip in self.clips.items():
            if isinstance(clip, Pair) and clip.hr is None and metrics:
                raise UserError(
                    f"clip {name} has no HR for {', '.join(metrics)} to compare with: choose "
                    "metrics=musiq|niqe|dover|none"
                )

    def lr_shape(self, name: str) -> tuple[int, int, int]:
        """Return an LR clip's frames, height and width without reading it."""
        clip = self.clips[name]
        if isinstance(clip, Pair):
            return len(clip.lr), *clip.lr.size
        height, width = clip.size
        return len(clip), height // FACTOR, width // FACTOR

    def rate(self, name: str) -> Fraction | None:
        """Return the clip's frames per second, None if unknown."""
        clip = self.clips[name]
        parts = (clip.lr, clip.hr) if isinstance(clip, Pair) else (clip,)
        return next((part.rate for part in parts if part is not None and part.rate is not None), None)

    def read(self, name: str) -> InputClip:
        """Read a clip, degrading HR where it has no LR.

        Raises:
            UserError: if LR has another hash than in the manifest of its set.
        """
        clip = self.clips[name]
        if isinstance(clip, Pair):
            return self._pair(name, clip)
        frames = clip.read(0, len(clip))
        hr = to_unit(frames)
        parameters = self.parameters[name]
        recipe = {"degradation": self.degradation, "parameters": parameters, "software": versions()}
        lr = self.cache(
            "lr", {"hr": frames, **recipe}, lambda: to_bytes(self.degradation.apply(parameters, hr))
        )
        return InputClip(to_unit(lr), hr, parameters)

    def _pair(self, name: str, pair: Pair) -> InputClip:
        entry: Entry | None = self.entries.get(name)
        hr = None if pair.hr is None else _whole(pair.hr)
        source = InputClip(_whole(pair.lr), hr, entry and entry.parameters)
        if entry is not None and entry.lr_sha256 not in (None, source.digest):
            raise UserError(
                f"LR clip {name} has SHA-256 {source.digest[:8]}..., its set's manifest.json says "
                f"{str(entry.lr_sha256)[:8]}...; run python -m dcvsr.degrade verify for details"
            )
        return source


def configured_sources(cfg: DictConfig) -> Sources:
    """Return the test clips of ``cfg.data``, with LR by ``cfg.degradation`` and ``cfg.lr_seed``."""
    clips, degradation = (instantiate(part, _convert_="all") for part in (cfg.data.test, cfg.degradation))
    manifest = cfg.data.get("manifest")
    return Sources(clips, degradation, cfg.lr_seed, manifest and Path(manifest), instantiate(cfg.cache))


def _drawn(name: str, clip: Clip, degradation: Degradation, seed: int) -> Params:
    try:
        return degradation.draw(generator(seed, name), (len(clip), 3, *clip.size))
    except UserError as error:
        raise UserError(f"clip {name}: {error}") from error


def _whole(clip: Clip) -> Tensor:
    return to_unit(clip.read(0, len(clip)))
