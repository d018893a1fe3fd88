"""Clips of repeated textures: each has a score of far tiles, and they are enough for a test."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from dcvsr.report.statistics import FEWEST
from dcvsr.runtime.cli import CONF
from dcvsr.video.io import to_unit


def clips(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("evaluate", [*overrides, "data.length=1", "metrics=[seams]"])


def test_far_textures_score_every_clip_of_repeated_textures() -> None:
    cfg = clips("data=repeated")
    test, far = instantiate(cfg.data.test, _convert_="all"), instantiate(cfg.metrics.far_textures)
    assert len(test) >= FEWEST
    for name, clip in test.items():
        frame = to_unit(clip.read(0, 1))
        half_blurred = frame.clone()
        half_blurred[..., : frame.shape[-1] // 2] = frame.mean()
        for restored, low, high in ((frame, -1e-6, 1e-6), (half_blurred, 0.1, 1.1)):
            far.reset()
            far.update(restored, frame)
            assert low <= far.compute() <= high, name


def test_the_clip_of_the_published_set_is_among_them() -> None:
    repeated, unseen = clips("data=repeated"), clips("data=unseen", "data.path=clips")
    assert repeated.data.test.wallpaper == unseen.data.test.wallpaper
