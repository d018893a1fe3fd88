"""Each guidance on a denoiser in closed form, against the paper's eps-form written out in float64."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from dcvsr.attention.self_attention import PER_FRAME, PER_HEAD, PER_TILE
from dcvsr.diffusion.guidance import (
    CFG,
    DSSAG,
    PAG,
    SAG,
    Interval,
    NoGuidance,
)
from dcvsr.runtime.errors import UserError
from tests.attention.making import noise
from tests.comparing import apart

B, F, C, H, W = 2, 3, 2, 6, 8
SIGMA, SHAPE = 1.7, (B, F, C, H, W)


@dataclass(frozen=True)
class Condition:
    """l and an image embedding, as numbers."""

    latent: float = 0.5
    image: float = -0.3

    @property
    def null(self):
        return Condition(0.0, 0.0)

    @property
    def without_image(self):
        return replace(self, image=0.0)


class Linear:
    """D = a x + latent + image, where a is what its attention makes of fixed q, k, v; in float64.

    The attention of the four layers is over ``b f h p d``, and the mid block's over positions halved once.
    """

    def __init__(self) -> None:
        self.asked = []
        self.q, self.k, self.v = (2 * noise(B, F, 2, 5, 4, seed=seed).double() for seed in range(3))
        self.mid = 3 * noise(B, F, 2, H * W // 4, 4, seed=3).double()

    def __call__(self, x, sigma, condition, attend=None, mid=None):
        self.asked.append((x, condition, attend, mid))
        a = self.strength(attend(self.q, self.k, self.v) if attend else plain(self.q, self.k) @ self.v)
        b = mid(self.mid, self.mid, self.mid) if mid else plain(self.mid, self.mid) @ self.mid
        return (a + self.strength(b)) * x / (1 + sigma**2) + condition.latent + condition.image

    @staticmethod
    def strength(out):
        """One number of a tile's attention: ``b 1 1 1 1``."""
        return out.flatten(1).square().mean(1).reshape(-1, 1, 1, 1, 1)


def plain(q, k, divisor=1.0):
    """Weights of Eq. (1); with a divisor, of Eq. (7)."""
    return (q @ k.mT / divisor / q.shape[-1] ** 0.5).softmax(-1)


class Eps:
    """The paper's epsilon: x = D + sigma eps."""

    def __init__(self) -> None:
        self.linear = Linear()

    def __call__(self, x, c, attend=None, mid=None):
        return (x - self.linear(x, SIGMA, c, attend, mid)) / SIGMA


X, COND = noise(*SHAPE, seed=9).double(), Condition()
EPS = Eps()
NULLS = [("zero_all", Condition(0, 0)), ("keep_latent", Condition(0.5, 0)), ("keep_all", COND)]


def _guided(guidance, sigma=SIGMA):
    linear = Linear()
    return guidance(linear, X, sigma, COND), linear.asked


def _agrees(D, eps):
    torch.testing.assert_close(D, X - SIGMA * eps, rtol=1e-6, atol=1e-6)


# the paper's epsilons


def _cfg(s, null):
    """Eq. (3)."""
    return EPS(X, null) + (1 + s) * (EPS(X, COND) - EPS(X, null))


def _suppressed(gamma, axes):
    def attend(q, k, v):
        q_max, k_max = (x.abs().amax(axes, keepdim=True) for x in (q, k))
        return plain(q, k, (gamma**2 * q_max * k_max).clamp(min=1)) @ v  # Eq. (7)

    return attend


def _blurred_detail(null):
    """b(x): where the mid block's attention gathers more than the mean, the clean estimate is blurred."""
    D = EPS.linear(X, SIGMA, null).numpy()
    received = plain(EPS.linear.mid, EPS.linear.mid).mean(2).sum(-2).numpy()
    gauss = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    gauss = np.outer(gauss, gauss) / gauss.sum() ** 2
    b = X.numpy().copy()
    for at in np.ndindex(B, F, C):
        padded = np.pad(D[at], 4, mode="reflect")
        for i, j in np.ndindex(H, W):
            if received[at[0], at[1], i // 2 * (W // 2) + j // 2] > 1:
                blurred = (padded[i : i + 9, j : j + 9] * gauss).sum()
                b[at][i, j] = blurred + (X.numpy()[at][i, j] - D[at][i, j])  # its noise intact
    return torch.from_numpy(b)


@pytest.mark.parametrize("s", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("uncond", "null"), NULLS)
def test_cfg_is_eq_3(s, uncond, null):
    D, asked = _guided(CFG(s, uncond=uncond))
    _agrees(D, _cfg(s, null))
    assert [condition for _, condition, *_ in asked] == [COND, null]


@pytest.mark.parametrize(("maxima", "axes"), [("head", PER_HEAD), ("frame", PER_FRAME), ("tile", PER_TILE)])
@pytest.mark.parametrize(("uncond", "null"), NULLS)
def test_dssag_is_eq_9_and_alone_eq_8(maxima, axes, uncond, null):
    D, asked = _guided(DSSAG(1.5, 0.5, 0.002, 700, maxima, uncond=uncond))
    gamma = (np.log(SIGMA / 0.002) / np.log(700 / 0.002)) ** 0.5
    suppressed = EPS(X, null, _suppressed(gamma, axes))
    _agrees(D, suppressed + (1 + 1.5) * (EPS(X, COND) - suppressed))
    assert len(asked) == 2
    assert apart(suppressed, EPS(X, null), 1e-5)


@pytest.mark.parametrize(("uncond", "null"), NULLS)
def test_sag_is_eq_5_joined_with_cfg(uncond, null):
    s, s_detail = 1.5, 0.75
    D, asked = _guided(SAG(s, s_detail, uncond=uncond))
    b = _blurred_detail(null)
    assert 0.2 < (b != X).double().mean() < 0.8
    _agrees(D, _cfg(s, null) + s_detail * (EPS(X, null) - EPS(b, null)))
    assert len(asked) == (2 if null is COND else 3)


def test_sag_alone_is_eq_5():
    s = 0.75
    D, _ = _guided(SAG(1.0, s, uncond="keep_all"))
    b = EPS(_blurred_detail(COND), COND)
    _agrees(D, b + (1 + s) * (EPS(X, COND) - b))


@pytest.mark.parametrize(("layers", "argument"), [("mid", "mid"), ("propagated", "attend")])
@pytest.mark.parametrize(("uncond", "null"), NULLS)
def test_pag_is_eq_6_joined_with_cfg(layers, argument, uncond, null):
    s, s_detail = 1.5, 3.0
    D, asked = _guided(PAG(s, s_detail, layers, uncond=uncond))
    perturbed = EPS(X, COND, **{argument: lambda q, k, v: v})
    _agrees(D, _cfg(s, null) + s_detail * (EPS(X, COND) - perturbed))
    assert len(asked) == (2 if null is COND else 3)
    assert apart(perturbed, EPS(X, COND), 1e-5)


@pytest.mark.parametrize(("layers", "argument"), [("mid", "mid"), ("propagated", "attend")])
def test_pag_alone_is_eq_6(layers, argument):
    s = 3.0
    D, _ = _guided(PAG(1.0, s, layers, uncond="keep_all"))
    perturbed = EPS(X, COND, **{argument: lambda q, k, v: v})
    _agrees(D, perturbed + (1 + s) * (EPS(X, COND) - perturbed))


def every(scale=1.0, detail_scale=1.0, **shared):
    """One of each guidance."""
    return [
        CFG(scale, **shared),
        DSSAG(scale, 0.5, 0.002, 700, **shared),
        SAG(scale, detail_scale, **shared),
        PAG(scale, detail_scale, "mid", **shared),
        PAG(scale, detail_scale, "propagated", **shared),
    ]


@pytest.mark.parametrize("guidance", every(scale=0.0, detail_scale=0.0))
def test_a_scale_of_zero_is_no_guidance(guidance):
    D, _ = _guided(guidance)
    torch.testing.assert_close(D, _guided(NoGuidance())[0])


@pytest.mark.parametrize("guidance", every())
def test_a_scale_of_one_is_guidance(guidance):
    assert apart(_guided(guidance)[0], _guided(NoGuidance())[0], 1e-2)


@pytest.mark.parametrize(("guidance", "count"), zip(every(), [2, 2, 3, 3, 3], strict=True))
def test_it_asks_for_the_conditional_estimate_first_and_no_more_than_it_says(guidance, count):
    _, asked = _guided(guidance)
    x, condition, attend, _ = asked[0]
    assert torch.equal(x, X)
    assert (condition, attend) == (COND, None)
    assert len(asked) == count


@pytest.mark.parametrize("guidance", every(interval=Interval(0.5, 1.7)))
@pytest.mark.parametrize(("sigma", "guided"), [(0.5, False), (0.5001, True), (1.7, True), (1.7001, False)])
def test_it_guides_where_lo_is_below_sigma_and_sigma_up_to_hi(guidance, sigma, guided):
    D, asked = _guided(guidance, sigma)
    plain_D, _ = _guided(NoGuidance(), sigma)
    assert (len(asked) > 1) == guided
    if guided:
        assert apart(D, plain_D, 1e-5)
    else:  # SAG reads the mid block's attention, whose sum is another in its last bits on some processors
        torch.testing.assert_close(D, plain_D, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("lo", "hi"), [(1, 1), (2, 1), (0, float("nan"))])
def test_an_empty_interval_is_refused(lo, hi):
    with pytest.raises(ValueError, match=f"{lo}, {hi}"):
        Interval(lo, hi)


def test_the_whole_range_is_the_default():
    assert all(sigma in CFG(1.0).interval for sigma in (0.002, 1, 700, 1e9))


@pytest.mark.parametrize("ramp", every(scale=3.0, detail_scale=0.0, first_scale=1.0))
def test_a_first_scale_grows_over_the_frames_to_the_scale(ramp):
    D, _ = _guided(ramp)
    for f, s in enumerate((1.0, 2.0, 3.0)):
        constant, _ = _guided(replace(ramp, scale=s, first_scale=None))
        torch.testing.assert_close(D[:, f], constant[:, f])


def test_sag_s_detail_is_of_the_unconditional_estimate_s_attention():
    """Published so (spec 4): the map of the branch whose estimate is blurred."""
    _, asked = _guided(SAG(1.0, 0.75))
    assert [condition for _, condition, *_ in asked] == [COND, COND.null, COND.null]
    assert asked[1][3] is not None
    assert asked[2][3] is None


def test_sag_refuses_a_tile_too_small_to_blur():
    small = noise(B, F, C, 4, 8).double()

    def denoise(x, sigma, condition, attend=None, mid=None):
        if mid:
            mid(*(noise(B, F, 1, 8, 4),) * 3)
        return x

    with pytest.raises(UserError, match="5 or more"):
        SAG(1.0, 0.75)(denoise, small, SIGMA, COND)


@pytest.mark.parametrize("bad", [{"rho": -1}, {"sigma_min": 0}, {"sigma_max": 0.001}])
def test_dssag_refuses_impossible_numbers_at_once(bad):
    with pytest.raises(ValueError, match=r"Eq\. \(10\)"):
        DSSAG(**{"scale": 1.0, "rho": 0.5, "sigma_min": 0.002, "sigma_max": 700, **bad})


@pytest.mark.parametrize(
    "guidance", [CFG(1.0), DSSAG(1.0, 0.5, 0.1, 10), SAG(1.0, 0.75), PAG(1.0, 3.0, "mid")]
)
def test_the_precision_of_the_network_around_is_not_the_guidance_s(guidance):
    x = noise(*SHAPE, seed=9)

    def denoise(x, sigma, condition, attend=None, mid=None):
        if mid is not None:
            mid(*(noise(B, F, 2, H * W // 4, 4, seed=3) for _ in "qkv"))
        return x / 3 + condition.latent

    exact = guidance(denoise, x, SIGMA, Condition())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(guidance(denoise, x, SIGMA, Condition()), exact)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CFG(1.0, uncond="keep"), "^uncond: 'keep' is not a choice; choose zero_all, keep_latent or"),
        (lambda: DSSAG(1.0, 0.5, 0.002, 700, "row"), "^maxima: 'row' is not a choice; choose head, frame or"),
        (lambda: PAG(1.0, 3.0, "all"), "^layers: 'all' is not a choice; choose mid or propagated$"),
    ],
)
def test_unknown_names_are_refused_with_those_known(make, message):
    with pytest.raises(ValueError, match=message):
        make()
