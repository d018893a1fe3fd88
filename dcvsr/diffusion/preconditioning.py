"""EDM preconditioning of SVD: sigma_data = 1, and F predicts v with its sign flipped."""

from torch import Tensor


def scalings(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute ``(c_skip, c_out, c_in, c_noise)`` of Eq. (12) at noise level ``sigma`` (spec A21).

    Karras et al. 2022, Table 1, at sigma_data = 1; c_out is negative because SVD's F is v-prediction.
    """
    c_skip = 1 / (sigma**2 + 1)
    c_out = -sigma / (sigma**2 + 1).sqrt()
    c_in = 1 / (sigma**2 + 1).sqrt()
    c_noise = sigma.log() / 4
    return c_skip, c_out, c_in, c_noise
