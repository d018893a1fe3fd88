"""Tests of data=repeated: each clip has a far-tile score, and a statistical test has enough clips."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from dcvsr.report.statistics import FEWEST
from dcvsr.runtime.cli import CONF
from dcvsr.video.io import to_unit


def clips(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("evaluate", [*overrides, "data.length=1", "metrics=[seams]"])


def test_every_clip_has_a_far_texture_score() -> None:
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


def test_the_wallpaper_clip_is_that_of_the_unseen_set() -> None:
    repeated, unseen = clips("data=repeated"), clips("data=unseen", "data.path=clips")
    assert repeated.data.test.wallpaper == unseen.data.test.wallpaper
