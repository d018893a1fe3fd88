"""Colour correction leaves detail alone and takes colours from the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.models.colour_correction import LEVELS, adain, corrected, low_frequencies, wavelet

METHODS = {"wavelet": wavelet, "adain": adain}


def _video(seed: int, frames: int = 2, height: int = 40, width: int = 52) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(frames, 3, height, width, generator=generator, dtype=torch.float64)


@settings(max_examples=10)
@given(st.sampled_from(sorted(METHODS)), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1))
def test_a_video_that_is_its_own_reference_stays_as_it_is(method, height, width, contrast):
    video = contrast * _video(0, 1, height, width)
    torch.testing.assert_close(METHODS[method](video, video), video, atol=1e-12, rtol=0)


def test_no_correction_gives_back_the_same_tensor():
    video = _video(0)
    assert corrected(video, _video(1), "none") is video


def test_wavelet_takes_its_low_frequencies_from_the_reference_and_its_detail_from_the_video():
    """By definition the two bands of the result are those of the two videos."""
    video, reference = _video(0), _video(1)
    result = wavelet(video, reference)
    detail = video - low_frequencies(video)
    torch.testing.assert_close(result - low_frequencies(reference), detail)


def test_wavelet_undoes_a_shift_of_colour_and_a_slow_gradient():
    video = _video(0, height=96, width=96)
    slow = torch.linspace(0, 0.2, 96, dtype=torch.float64)
    cast = torch.tensor([0.1, -0.05, 0.2], dtype=torch.float64)[:, None, None]
    result = wavelet(video + cast + slow, video)
    inner = (..., slice(40, 56), slice(40, 56))  # of a ramp the border is not low-frequency
    torch.testing.assert_close(result[inner], video[inner], atol=1e-9, rtol=0)


def test_low_frequencies_are_the_a_trous_transform_s():
    """Against the definition in float64: five convolutions, each by one loop over the 3x3 taps."""
    expected = video = _video(0, 1, 9, 11)
    height, width = video.shape[-2:]
    for level in range(LEVELS):
        taps = torch.zeros_like(video)
        for dy, wy in ((-1, 0.25), (0, 0.5), (1, 0.25)):
            for dx, wx in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                y = (torch.arange(height) + dy * 2**level).clamp(0, height - 1)
                x = (torch.arange(width) + dx * 2**level).clamp(0, width - 1)
                taps += wy * wx * expected[..., y, :][..., x]
        expected = taps
    torch.testing.assert_close(low_frequencies(video), expected)


def test_adain_has_the_reference_s_mean_and_deviation_in_every_channel_of_every_frame():
    video, reference = 0.3 * _video(0) + 0.5, _video(1) ** 2
    result = adain(video, reference)
    for moment in (torch.mean, torch.std):
        torch.testing.assert_close(moment(result, dim=(-2, -1)), moment(reference, dim=(-2, -1)))


def test_adain_does_not_amplify_what_is_below_a_grey_level():
    flat = 0.5 + 1e-6 * _video(0)
    assert adain(flat, _video(1)).std(dim=(-2, -1)).max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_frames_are_corrected_each_on_its_own(method):
    video, reference = _video(0, 3), _video(1, 3)
    alone = METHODS[method](video[1:2], reference[1:2])
    together = corrected(video, reference, method)
    torch.testing.assert_close(together[1:2], alone)
    torch.testing.assert_close(METHODS[method](video, reference), together)
