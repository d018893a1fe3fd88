"""The parts that a draw drops."""

import torch

from dcvsr.training.dropout import dropped_parts


def test_triple_splits_the_unit_interval_as_instructpix2pix_does():
    """CLIP alone below p, both up to 2p, latents alone up to 3p, none above."""
    draw = torch.tensor([0.0, 0.05, 0.11, 0.15, 0.21, 0.25, 0.29, 0.31, 0.99])
    latent, image = dropped_parts(draw, 0.1, "triple")
    assert latent.tolist() == [False, False, True, True, True, True, True, False, False]
    assert image.tolist() == [True, True, True, True, False, False, False, False, False]


def test_joint_drops_both_or_none():
    latent, image = dropped_parts(torch.tensor([0.0, 0.09, 0.1, 0.5]), 0.1, "joint")
    assert latent.tolist() == image.tolist() == [True, True, False, False]
