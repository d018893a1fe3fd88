"""Noise is a function of (seed, frame, y, x)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.diffusion.initial_noise import gaussian_noise, philox


def test_philox_gives_the_published_known_answers():
    """Random123's known-answer vectors for philox4x32-10."""
    zeros, ones = torch.tensor(0), torch.tensor(0xFFFFFFFF)
    answer = philox((zeros,) * 4, (0, 0))
    assert [hex(word) for word in answer] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    answer = philox((ones,) * 4, (0xFFFFFFFF, 0xFFFFFFFF))
    assert [hex(word) for word in answer] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]


def test_four_channels_are_box_and_muller_s_of_the_four_words_of_a_position():
    """Channels 0 to 3 and 4 to 7 of frame 5, row 2, column 3; ours rounds to float32."""
    seed = (7 << 32) + 9
    noise = gaussian_noise(seed, range(5, 6), 8, range(2, 3), range(3, 4)).flatten().tolist()
    for group in (0, 1):
        counter = tuple(torch.tensor(part) for part in (3, 2, 5, group))
        words = [int(word) for word in philox(counter, (9, 7))]
        pairs = [(words[0], words[1]), (words[2], words[3])]
        unit = [((a + 0.5) / 2**32, (b + 0.5) / 2**32) for a, b in pairs]
        polar = [(math.sqrt(-2 * math.log(u)), 2 * math.pi * v) for u, v in unit]
        expected = [part for r, phi in polar for part in (r * math.cos(phi), r * math.sin(phi))]
        assert noise[4 * group : 4 * group + 4] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**64 - 1),
    frame=st.integers(0, 3),
    y=st.integers(0, 5),
    x=st.integers(0, 6),
    channels=st.integers(1, 9),
)
def test_a_crop_of_the_video_has_the_crop_of_its_noise(seed, frame, y, x, channels):
    whole = gaussian_noise(seed, range(5), channels, range(8), range(9))
    part = gaussian_noise(seed, range(frame, 5), channels, range(y, 8), range(x, 9))
    assert torch.equal(part, whole[frame:, :, y:, x:])


def test_it_is_unit_normal_and_uncorrelated():
    noise = gaussian_noise(3, range(8), 8, range(64), range(64)).double()
    n = noise.numel()
    assert abs(noise.mean()) < 4 / n**0.5
    assert abs(noise.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / n) ** 0.5
    for axis in range(4):
        assert abs((noise * noise.roll(1, axis)).mean()) < 4 / n**0.5


@pytest.mark.parametrize("other", [{"seed": 2**32}, {"stream": 1}])
def test_another_seed_or_stream_is_other_noise(other):
    settings = {"seed": 0, "stream": 0}
    first, second = (
        gaussian_noise(frames=range(2), channels=4, rows=range(16), columns=range(16), **each)
        for each in (settings, settings | other)
    )
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.1
