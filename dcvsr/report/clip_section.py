"""What a page shows of a clip: its videos under one slider, the worst crops, an x-t slice of each."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dcvsr.report.clip_videos import TRUTH, Takes, pixels, takes
from dcvsr.report.embedded_images import EmbeddedImage
from dcvsr.report.player import Player, embed, player
from dcvsr.report.scenes import Scene
from dcvsr.report.worst_crops import CropPlace, block_differences, worst
from dcvsr.report.xt_slices import liveliest

if TYPE_CHECKING:
    from dcvsr.video.io import Video


@dataclass(frozen=True)
class Crop:
    """One place, as everyone shows it; ``base`` is what it was found by comparing with."""

    place: CropPlace
    base: str
    pictures: list[EmbeddedImage]


@dataclass(frozen=True)
class ClipSection:
    """A clip; ``slices`` are ``f w c``, of the line ``line``, counted from 0."""

    scene: Scene
    player: Player
    crops: list[Crop]
    line: int
    slices: list[EmbeddedImage]


def views(scenes: Sequence[Scene], count: int, side: int, crf: int) -> list[ClipSection]:
    """
    Args:
        count: of crops of a clip, at most.
        side: of a crop in pixels, at most.
        crf: of videos that are encoded for the page: the truth's, and what is no mp4.

    Raises:
        UserError: if a video is damaged, or not like the others of its clip.
    """
    return [_view(takes(scene), count, side, crf) for scene in tqdm(scenes, desc="clips", disable=None)]


def _view(shot: Takes, count: int, side: int, crf: int) -> ClipSection:
    base, video = shot.base
    side = min(side, *video.frames.shape[-2:])
    crops = [Crop(place, base, []) for place in _worst(shot, count, side)]
    line, slices, videos = liveliest(pixels(video)), [], {}
    for label, video in shot:
        frames, videos[label] = pixels(video), _address(shot.scene.videos.get(label), video, crf)
        slices.append(EmbeddedImage(label, frames[:, line].copy()))
        for crop in crops:
            crop.pictures.append(EmbeddedImage(label, crop.place.cut(frames)))
    return ClipSection(shot.scene, _player(shot, videos), crops, line, slices)


def _worst(shot: Takes, count: int, side: int) -> list[CropPlace]:
    """Without truth, those of any row; none where there is nothing to compare."""
    frames = pixels(shot.base[1])
    differences = {
        label: block_differences(pixels(shot.read(label)), frames, side) for label in shot.compared
    }
    return worst(differences, frames.shape[1:3], side, count) if differences else []


def _player(shot: Takes, videos: dict[str, str]) -> Player:
    """The reference starts on the right; on the left another row, or the truth where there is none."""
    scene, labels = shot.scene, list(videos)
    right = labels.index(scene.reference)
    left = next((i for i, label in enumerate(labels) if label not in (scene.reference, TRUTH)), 0)
    return player(scene.clip, tuple(videos.items()), left, right, shot.reference)


def _address(path: Path | None, video: "Video", crf: int) -> str:
    """The file as it is, where browsers play it; None for the truth, which has the rate of the others now."""
    from dcvsr.video.io import to_unit, write_clip

    if path is not None and path.suffix == ".mp4":
        return embed(path)
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder, "video.mp4")
        write_clip(encoded, to_unit(video.frames), video.rate, crf)
        return embed(encoded)
