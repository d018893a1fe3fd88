"""The line whose changes an x-t slice shows."""

import numpy as np

from dcvsr.report.xt_slices import liveliest


def test_the_line_that_flickers_is_taken() -> None:
    video = np.full((5, 16, 8, 3), 100, np.uint8)
    video[1::2, 11] = 200
    assert liveliest(video) == 11


def test_wrapping_bytes_do_not_hide_a_change() -> None:
    video = np.zeros((2, 4, 8, 3), np.uint8)
    video[0, 1], video[1, 3] = 255, 100
    assert liveliest(video) == 1


def test_a_still_and_a_single_frame_give_their_middle() -> None:
    assert liveliest(np.zeros((4, 16, 8, 3), np.uint8)) == 8
    assert liveliest(np.arange(16, dtype=np.uint8).repeat(24).reshape(1, 16, 8, 3)) == 8
