"""Section of a clip: its videos under one slider, the worst crops, and an x-t slice of each video."""

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
    """One region in all videos; ``base`` is the video that it was found by comparison with."""

    place: CropPlace
    base: str
    pictures: list[EmbeddedImage]


@dataclass(frozen=True)
class ClipSection:
    """Section of one clip; ``slices`` are ``f w c`` of the line ``line``, counted from 0."""

    scene: Scene
    player: Player
    crops: list[Crop]
    line: int
    slices: list[EmbeddedImage]


def views(scenes: Sequence[Scene], count: int, side: int, crf: int) -> list[ClipSection]:
    """Build the sections of clips.

    Args:
        scenes: the clips.
        count: largest number of crops per clip.
        side: largest side of a crop in pixels.
        crf: rate factor of videos encoded for the page: the ground truth and those that are not mp4.

    Raises:
        UserError: if a video is damaged, or differs from the others in length, rate or size.
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
    """Find the worst regions of the reference, or of any row if the clip has no ground truth."""
    frames = pixels(shot.base[1])
    differences = {
        label: block_differences(pixels(shot.read(label)), frames, side) for label in shot.compared
    }
    return worst(differences, frames.shape[1:3], side, count) if differences else []


def _player(shot: Takes, videos: dict[str, str]) -> Player:
    """Choose the first pair: the reference on the right; another row, or the ground truth, on the left."""
    scene, labels = shot.scene, list(videos)
    right = labels.index(scene.reference)
    left = next((i for i, label in enumerate(labels) if label not in (scene.reference, TRUTH)), 0)
    return player(scene.clip, tuple(videos.items()), left, right, shot.reference)


def _address(path: Path | None, video: "Video", crf: int) -> str:
    """Return the file itself if browsers play it; None for the ground truth, which is encoded anew."""
    from dcvsr.video.io import to_unit, write_clip

    if path is not None and path.suffix == ".mp4":
        return embed(path)
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder, "video.mp4")
        write_clip(encoded, to_unit(video.frames), video.rate, crf)
        return embed(encoded)
