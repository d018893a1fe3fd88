"""Inputs of an evaluation: LR made like the LR set, read from pairs, or rejected."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dcvsr.data.clips import Clip
from dcvsr.data.pairs import Pair
from dcvsr.data.synthetic import Translation
from dcvsr.degradation.noise import Noise
from dcvsr.degradation.pipeline import Degradation, Given, bicubic
from dcvsr.degradation.walk import Walk
from dcvsr.degrade.manifest import Entry, Manifest
from dcvsr.evaluation.inputs import InputClip, Sources
from dcvsr.imaging import to_bytes
from dcvsr.runtime.cache import Cache
from dcvsr.runtime.errors import UserError
from tests.comparing import apart

HR = Translation(seed=0, frames=3, height=16, width=24, dx=0.5, dy=0.2)
GIVEN = Given(4, {})


class Frames:
    """Clip of given frames."""

    name, shots, rate = "clip", (), None

    def __init__(self, frames: Tensor) -> None:
        self.frames, self.size = frames, (frames.shape[-2], frames.shape[-1])

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, start: int, count: int, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        return self.frames[start : start + count, :, rows, columns]


def lr_set(folder: Path, digest: str) -> Path:
    entry = Entry("clip.mp4", 3, (24, 16), (6, 4), {"reduce": {"kernel": "bicubic"}}, lr_sha256=digest)
    path = folder / "manifest.json"
    Manifest(0, "bicubic", {}, clips={"clip": entry}).write(path)
    return path


def lr() -> InputClip:
    return Sources({"clip": HR}, bicubic(4), 0, None).read("clip")


def pair(clip: Tensor, hr: Clip | None = HR) -> dict[str, Pair]:
    return {"clip": Pair(hr, Frames(to_bytes(clip)))}


def test_hr_is_degraded_with_the_recorded_parameters() -> None:
    source = lr()
    assert source.parameters is not None
    assert source.hr is not None
    assert torch.equal(source.lr, bicubic(4).apply(source.parameters, source.hr))
    assert Sources({"clip": HR}, bicubic(4), 0, None).lr_shape("clip") == (3, 4, 6)


def test_hr_that_cannot_be_downsampled_is_rejected_before_reading() -> None:
    odd = Translation(seed=0, frames=3, height=18, width=24, dx=0.5, dy=0.2)
    with pytest.raises(UserError, match="clip odd: frames of 24x18 cannot be downsampled 4 times"):
        Sources({"clip": HR, "odd": odd}, bicubic(4), 0, None)


def test_pairs_take_their_parameters_from_the_manifest(tmp_path: Path) -> None:
    made = lr()
    found = Sources(pair(made.lr), GIVEN, 0, lr_set(tmp_path, made.digest)).read("clip")
    assert torch.equal(found.lr, made.lr)
    assert found.parameters == {"reduce": {"kernel": "bicubic"}}


def test_lr_with_another_hash_than_in_the_manifest_is_rejected(tmp_path: Path) -> None:
    made = lr()
    changed = made.lr.clone()
    changed[1, 0, 2, 3] = 1 - changed[1, 0, 2, 3].round()
    with pytest.raises(UserError, match=r"LR clip clip has SHA-256 .* manifest.json says"):
        Sources(pair(changed), GIVEN, 0, lr_set(tmp_path, made.digest)).read("clip")


@pytest.mark.parametrize("manifest", [None, Path("none/manifest.json")])
def test_without_a_manifest_the_parameters_are_unknown(manifest: Path | None) -> None:
    assert Sources(pair(lr().lr), GIVEN, 0, manifest).read("clip").parameters is None


def test_the_digest_depends_on_pixels_and_shape() -> None:
    source = InputClip(torch.zeros(2, 3, 4, 6), None, None)
    others = [torch.zeros(2, 3, 6, 4), torch.zeros(3, 3, 4, 6), source.lr.clone()]
    others[-1][1, 2, 3, 5] = 1
    assert len({source.digest, *(replace(source, lr=other).digest for other in others)}) == 4


def test_clips_without_reference_are_rejected_by_full_reference_metrics() -> None:
    sources = Sources(pair(lr().lr, hr=None), GIVEN, 0, None)
    sources.require_reference([])
    with pytest.raises(UserError, match="clip clip has no HR for psnr, dists to compare with"):
        sources.require_reference(["psnr", "dists"])
    assert sources.read("clip").hr is None


def test_degraded_lr_is_cached_across_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Noise(gaussian=1, poisson=0, sigma=Walk(9, 9, 0), scale=Walk(1, 1, 0), gray=0)
    noisy = Degradation(4, {**bicubic(4).steps, "noise": noise})

    def read(seed: int) -> InputClip:
        return Sources({"clip": HR}, noisy, seed, None, Cache(tmp_path, limit_gb=1)).read("clip")

    whole, made = Degradation.apply, []

    def apply(*arguments: Any) -> Tensor:
        made.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(Degradation, "apply", apply)
    cold, warm, other = read(0), read(0), read(1)
    assert len(made) == 2
    assert torch.equal(cold.lr, warm.lr)
    assert apart(cold.lr, other.lr)
