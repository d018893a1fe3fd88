"""Stable Diffusion, small with random weights, and loaded from a folder."""

import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.text2image.stable_diffusion import digest, noise_range, pretrained, small_random


def test_weights_are_loaded_from_a_folder_in_the_given_precision(tmp_path) -> None:
    pipe = small_random()
    pipe.save_pretrained(tmp_path)
    read = pretrained(str(tmp_path), torch.float32)
    assert digest(read) == digest(pipe)
    assert type(read.scheduler).__name__ == "DDIMScheduler"
    half = pretrained(str(tmp_path), torch.float16)
    assert {half.unet.dtype, half.vae.dtype, half.text_encoder.dtype} == {torch.float16}
    assert digest(half) != digest(pipe)


def test_the_digest_depends_on_every_network() -> None:
    digests = [digest(small_random())]
    for network in ("text_encoder", "unet", "vae"):
        pipe = small_random()
        next(getattr(pipe, network).parameters()).data.add_(1)
        digests.append(digest(pipe))
    assert len(set(digests)) == 4


def test_random_weights_are_fixed_and_keep_the_random_state() -> None:
    state = torch.get_rng_state()
    first = digest(small_random())
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert digest(small_random()) == first


def test_the_noise_range_is_that_of_the_last_and_first_timestep() -> None:
    pipe = small_random()
    alpha = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0)
    sigma = ((1 - alpha) / alpha).sqrt()
    assert noise_range(pipe, 50) == pytest.approx((sigma[1].item(), sigma[981].item()), rel=1e-3)


def test_a_folder_without_a_pipeline_is_rejected_in_one_line(tmp_path) -> None:
    with pytest.raises(UserError, match=r"cannot load pipeline.weights=.*as `hf download") as raised:
        pretrained(str(tmp_path), torch.float32)
    assert "\n" not in str(raised.value)
