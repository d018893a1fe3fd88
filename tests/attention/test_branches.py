"""Propagation between the branches of a guidance."""

from functools import partial

import pytest
import torch

from dcvsr.attention.branches import ConditionalOnly, SharedKeys, own
from dcvsr.attention.propagation import NoPropagation, SpatialPropagation
from dcvsr.diffusion.guidance import DSSAG, PAG, SAG
from tests.attention.making import FRAMES, SIDE, Notes, Once, estimate, make_denoiser, tap
from tests.comparing import apart

SAP = SpatialPropagation(0.25, "lockstep")
SCHEMES = [SAP, SpatialPropagation(0.25, "two_pass"), tap(), tap(source="clean", anchors=1)]
GUIDANCES = [DSSAG(1.0, 0.5, 0.002, 700), SAG(1.0, 0.75), PAG(1.0, 3.0, "mid"), PAG(1.0, 3.0, "propagated")]


@pytest.fixture(scope="module")
def denoiser():
    return make_denoiser("nano")


def _small(scheme):
    """A canvas of two tiles that exchange."""
    spatial = isinstance(scheme, SpatialPropagation)
    return (FRAMES, 2 * SIDE, SIDE) if spatial else (2 * FRAMES, SIDE, SIDE)


def _branch(guidance, number):
    """The estimate of one branch of ``guidance``, all of which are asked for."""

    def branch(denoise, x, sigma, condition):
        asked = []

        def noted(*arguments, **keywords):
            asked.append(denoise(*arguments, **keywords))
            return asked[-1]

        guidance(noted, x, sigma, condition)
        return asked[number]

    return branch


@pytest.mark.parametrize("branches", [own, ConditionalOnly, SharedKeys])
@pytest.mark.parametrize("guidance", GUIDANCES[:2])
@pytest.mark.parametrize("scheme", [SAP, tap()])
def test_the_conditional_estimate_knows_nothing_of_the_other_branches(denoiser, branches, guidance, scheme):
    canvas = _small(scheme)
    conditional = estimate(denoiser, Once(scheme, branches), _branch(guidance, 0), canvas)
    assert torch.equal(conditional, estimate(denoiser, Once(scheme), canvas=canvas))


def _unconditional(denoiser, scheme, branches, canvas=None):
    return estimate(denoiser, Once(scheme, branches), _branch(GUIDANCES[0], 1), canvas or _small(scheme))


def _alone(denoiser, scheme, canvas=None):
    """The suppressed estimate of a guidance that asks for nothing else, so that it is the first branch."""
    return estimate(denoiser, Once(scheme), GUIDANCES[0].suppressed, canvas or _small(scheme))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_own_keys_are_those_of_a_branch_alone(denoiser, scheme):
    assert torch.equal(_unconditional(denoiser, scheme, own), _alone(denoiser, scheme))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_conditional_only_leaves_the_other_branches_alone(denoiser, scheme):
    without = _alone(denoiser, NoPropagation(), _small(scheme))
    assert torch.equal(_unconditional(denoiser, scheme, ConditionalOnly), without)
    assert apart(_alone(denoiser, scheme), without, 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("batch", [1, None])
def test_shared_keys_are_the_conditional_branch_s(denoiser, scheme, batch):
    notes = Notes()
    estimate(denoiser, Once(scheme, SharedKeys), GUIDANCES[0], observer=notes, batch=batch)
    got: dict[int, dict] = {0: {}, 1: {}}
    for place, layer, q, k in notes.attentions:  # of two passes the second remains
        got[place.branch][place.window, place.tiles, layer] = k[..., q.shape[-2] :, :]
    assert got[0].keys() == got[1].keys()
    assert all(torch.equal(got[0][at], got[1][at]) for at in got[0])
    assert any(k.shape[-2] for k in got[0].values())
    assert {place.branch for place, *_ in notes.exchanges} == {0}


def test_shared_keys_of_no_propagation_are_none(denoiser):
    shared = _unconditional(denoiser, NoPropagation(), SharedKeys)
    assert torch.equal(shared, _alone(denoiser, NoPropagation()))


@pytest.mark.parametrize("branches", [own, ConditionalOnly, SharedKeys])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_they_keep_the_scheme_and_its_orders(branches, scheme):
    for number in range(2):
        plain, round = scheme.round(number, 4), branches(scheme.round(number, 4))
        assert round.scheme == plain.scheme
        assert list(map(list, round.orders(3))) == list(map(list, plain.orders(3)))


@pytest.mark.parametrize("scheme", [SAP, tap()])
@pytest.mark.parametrize(("guidance", "evaluations"), zip(GUIDANCES, [2, 3, 3, 3], strict=True))
def test_a_guidance_evaluates_as_often_as_it_says_and_batched_is_one_by_one(
    denoiser, scheme, guidance, evaluations
):
    notes = Notes()
    one = partial(estimate, denoiser, Once(scheme), guidance, _small(scheme))
    single = one(observer=notes)
    assert len(notes.evaluations) == 2 * evaluations
    assert {place.branch for place, _ in notes.evaluations} == set(range(evaluations))
    torch.testing.assert_close(one(batch=None), single, atol=5e-6, rtol=0)
