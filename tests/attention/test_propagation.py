"""Laws of SAP and TAP on whole U-Nets, each against none, against itself elsewhere, or against float64."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dcvsr.attention import processor
from dcvsr.attention.alternating import Alternating
from dcvsr.attention.layer_names import propagated_layers
from dcvsr.attention.propagation import NoPropagation, SpatialPropagation
from dcvsr.tiling.grid import TileGrid
from tests.attention.making import FRAMES, SIDE, Notes, Once, boxes, estimate, make_denoiser, tap
from tests.comparing import apart

NONE, SAP = NoPropagation(), SpatialPropagation(0.25, "lockstep")
TWO_PASS = SpatialPropagation(0.25, "two_pass")
WIDE, LONG = (FRAMES, 2 * SIDE, SIDE), (3 * FRAMES, SIDE, SIDE)
"""Two tiles of one window, three windows of one tile; otherwise two of each."""


@pytest.fixture(params=["nano", "svd"])
def denoiser(request):
    return _denoiser(request.param)


@cache
def _denoiser(shape):
    return make_denoiser(shape)


@cache
def _plain(denoiser, canvas=(2 * FRAMES, 2 * SIDE, SIDE)):
    return estimate(denoiser, NONE, canvas=canvas)


@cache
def _spatial(denoiser):
    return estimate(denoiser, SAP, canvas=WIDE)


@cache
def _temporal(denoiser, number):
    """Forward or backward over ``LONG``."""
    return estimate(denoiser, Once(tap(), number=number), canvas=LONG)


# SAP


@pytest.mark.parametrize("sap", [SAP, TWO_PASS])
def test_sap_of_one_tile_is_none(denoiser, sap):
    alone = _plain(denoiser, (2, SIDE, SIDE))
    assert torch.equal(estimate(denoiser, sap, canvas=(2, SIDE, SIDE)), alone)


@pytest.mark.parametrize("sap", [SAP, TWO_PASS, SpatialPropagation(None, "lockstep")])
def test_sap_changes_tiles_and_bounded_is_unbounded(denoiser, sap):
    bounded = estimate(denoiser, sap, canvas=WIDE)
    assert (bounded - _plain(denoiser, WIDE)).abs().max() > 1e-3
    torch.testing.assert_close(estimate(denoiser, sap, canvas=WIDE, batch=None), bounded, atol=2e-6, rtol=0)


def test_sap_is_equivariant_to_permuting_tiles(denoiser):
    canvas = (2, 3 * SIDE, SIDE)
    ordered = estimate(denoiser, SAP, canvas=canvas)
    windows = [[window[m] for m in (2, 0, 1)] for window in boxes(*canvas)]
    permuted = estimate(denoiser, SAP, canvas=canvas, windows=windows)
    torch.testing.assert_close(permuted, ordered, atol=2e-6, rtol=0)


def test_tiles_of_the_same_content_see_nothing_new_in_each_other_at_full_rate(denoiser):
    """Every key twice or more leaves softmax's weights as they were."""
    canvas = (2, SIDE, SIDE)
    windows = [boxes(*canvas)[0] * 3]
    repeated = estimate(denoiser, SpatialPropagation(1, "lockstep"), canvas=canvas, windows=windows)
    torch.testing.assert_close(repeated, _plain(denoiser, canvas), atol=2e-6, rtol=0)


@pytest.mark.parametrize("sap", [SAP, TWO_PASS])
def test_tiles_of_different_sizes_exchange(sap):
    canvas = 5, 11, 18
    windows = TileGrid(SIDE, FRAMES, 0, "shifted").windows(*canvas, step=1)
    assert len({tile.shape for tile in windows[0]}) > 1
    given = {"canvas": canvas, "windows": windows}
    bounded = estimate(_denoiser("nano"), sap, **given)
    torch.testing.assert_close(
        estimate(_denoiser("nano"), sap, batch=None, **given), bounded, atol=2e-6, rtol=0
    )
    assert (bounded - estimate(_denoiser("nano"), NONE, **given)).abs().max() > 1e-3


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_lockstep_is_two_pass_if_one_layer_alone_exchanges(denoiser, layer, monkeypatch):
    """The first exchanging layer gives keys that depend on no other tile."""
    name = propagated_layers(denoiser.unet)[layer]
    monkeypatch.setattr(processor, "propagated_layers", lambda unet: [name])
    one = estimate(denoiser, SAP, canvas=WIDE)
    assert torch.equal(one, estimate(denoiser, TWO_PASS, canvas=WIDE))
    assert (one - _plain(denoiser, WIDE)).abs().max() > 1e-4


def test_lockstep_is_not_two_pass_if_all_four_exchange(denoiser):
    assert (_spatial(denoiser) - estimate(denoiser, TWO_PASS, canvas=WIDE)).abs().max() > 1e-6


@pytest.mark.parametrize(("sap", "passes"), [(SAP, 1), (TWO_PASS, 2)])
def test_lockstep_evaluates_once_and_two_pass_twice(sap, passes):
    notes = Notes()
    estimate(_denoiser("nano"), sap, observer=notes)
    assert len(notes.evaluations) == 4 * passes
    assert len(notes.exchanges) == 4 * 4


def test_two_passes_give_away_what_a_plain_evaluation_computes():
    plain, two = Notes(), Notes()
    estimate(_denoiser("nano"), NONE, observer=plain)
    estimate(_denoiser("nano"), TWO_PASS, observer=two)
    given = {(place.window, place.tiles, layer): k for place, layer, k, _ in two.exchanges}
    assert len(plain.attentions) == len(given) == 4 * 4
    for place, layer, _, k in plain.attentions:
        rows = columns = int(k.shape[-2] ** 0.5)
        subset = k.unflatten(-2, (rows, columns))[..., ::2, ::2, :].flatten(-3, -2)
        assert torch.equal(given[place.window, place.tiles, layer], subset)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
def test_rates_of_whole_strides_are_taken(k):
    assert SpatialPropagation(1 / k**2, "lockstep").stride(9) == k
    assert SpatialPropagation(round(1 / k**2, 5), "lockstep").stride(9) == k


@given(rate=st.floats(1e-4, 100))
@example(0.0)
@example(-0.25)
@example(4.0)
@example(float("inf"))
@example(float("nan"))
def test_other_rates_are_refused(rate):
    assume(not any(abs(rate * k**2 - 1) < 2e-3 for k in range(1, 101)))
    with pytest.raises(ValueError, match=r"1/k\*\*2"):
        SpatialPropagation(rate, "lockstep")


@pytest.mark.parametrize(("tiles", "stride"), [(1, 1), (2, 2), (4, 2), (5, 3), (8, 3), (9, 3), (10, 4)])
def test_a_rate_of_none_gives_about_as_much_as_one_tile_has(tiles, stride):
    assert SpatialPropagation(None, "lockstep").stride(tiles) == stride


# TAP


@pytest.mark.parametrize("changed", [{}, {"anchors": 2}, {"source": "clean"}, {"direction": "both"}])
def test_tap_of_one_window_is_none(denoiser, changed):
    alone = _plain(denoiser, WIDE)
    result = estimate(denoiser, Once(tap(**changed)), canvas=WIDE)
    if changed == {"direction": "both"}:  # a mean of two
        torch.testing.assert_close(result, alone)
    else:
        assert torch.equal(result, alone)


@pytest.mark.parametrize("changed", [{}, {"anchors": 2}, {"selection": "random"}, {"choice": "first_layer"}])
def test_tap_on_tiles_together_is_tile_by_tile(denoiser, changed):
    single = estimate(denoiser, Once(tap(**changed)))
    torch.testing.assert_close(
        estimate(denoiser, Once(tap(**changed)), batch=None), single, atol=2e-6, rtol=0
    )
    assert (single - _plain(denoiser)).abs().max() > 1e-3


@pytest.mark.parametrize(("number", "first"), [(0, slice(0, FRAMES)), (1, slice(2 * FRAMES, None))])
def test_tap_leaves_the_first_window_of_a_direction_unchanged(denoiser, number, first):
    none = _plain(denoiser, LONG)
    result = _temporal(denoiser, number)
    assert torch.equal(result[first], none[first])
    changed = (result - none).abs().amax((1, 2, 3)) > 1e-5
    assert changed.sum() == 2 * FRAMES


def test_tap_does_not_mix_tiles():
    """The chain of one spatial tile knows nothing of its neighbour."""
    both_tiles = estimate(_denoiser("nano"), Once(tap()))
    windows = [[window[0]] for window in boxes(2 * FRAMES, 2 * SIDE, SIDE)]
    alone = estimate(_denoiser("nano"), Once(tap()), windows=windows)
    assert torch.equal(alone[:, :, :SIDE], both_tiles[:, :, :SIDE])


def _own(notes):
    """Keys of one tile before merging: (window, layer) -> k ``f h p d``."""
    return {
        (place.window, layer): k[0, :, :, : q.shape[-2]].numpy() for place, layer, q, k in notes.attentions
    }


def _merged(notes):
    """Keys received by each window: (window, layer) -> k ``h n d``, equal for every frame."""
    merged = {}
    for place, layer, q, k in notes.attentions:
        others = k[0, :, :, q.shape[-2] :]
        assert torch.equal(others, others[:1].expand_as(others))
        merged[place.window, layer] = others[0].numpy()
    return merged


def _deviations(k):
    return [np.sqrt(((frame - frame.mean()) ** 2).mean()) for frame in k]


def _best(scores, count):
    return sorted(range(len(scores)), key=lambda f: (-scores[f], f))[:count]


@pytest.mark.parametrize(("number", "order"), [(0, [0, 1, 2]), (1, [2, 1, 0])])
@pytest.mark.parametrize("frames", [1, 2, FRAMES + 2])
def test_each_window_gets_its_neighbour_s_best_keyed_frames_as_they_were_before_merging(
    denoiser, number, order, frames
):
    notes = Notes()
    estimate(denoiser, Once(tap(frames=frames), number=number), canvas=LONG, observer=notes)
    own_keys, merged = _own(notes), _merged(notes)
    assert len(notes.choices) == 3 * 4
    for place, layer, chosen in notes.choices:
        assert place.direction == ("forward" if number == 0 else "backward")
        assert chosen[0].tolist() == _best(_deviations(own_keys[place.window, layer]), frames)
    for layer in propagated_layers(denoiser.unet):
        assert merged[order[0], layer].shape[1] == 0
        for before, window in itertools.pairwise(order):
            k = own_keys[before, layer]
            given = np.concatenate([k[f] for f in _best(_deviations(k), frames)], axis=1)
            assert np.array_equal(merged[window, layer], given)


@pytest.mark.parametrize("anchors", [1, 2])
@pytest.mark.parametrize("number", [0, 1])
def test_anchors_are_the_best_keyed_frames_of_all_windows_before_the_neighbour(anchors, number):
    notes, denoiser = Notes(), _denoiser("nano")
    canvas = (5 * FRAMES, SIDE, SIDE)
    estimate(denoiser, Once(tap(anchors=anchors), number=number), canvas=canvas, observer=notes)
    own_keys, merged = _own(notes), _merged(notes)
    order = list(range(5))[:: 1 if number == 0 else -1]
    beyond = 0
    for layer in propagated_layers(denoiser.unet):
        for i, window in enumerate(order[1:], start=1):
            neighbour = own_keys[order[i - 1], layer]
            given = [neighbour[f] for f in _best(_deviations(neighbour), 2)]
            earlier = [frame for before in order[: i - 1] for frame in own_keys[before, layer]]
            best = _best(_deviations(earlier), anchors)
            given += [earlier[f] for f in best]
            beyond += any(f < FRAMES * (i - 2) for f in best)
            assert np.array_equal(merged[window, layer], np.concatenate(given, axis=1))
    assert beyond  # some anchor outlived the next window


def test_no_anchors_is_the_paper_and_anchors_reach_the_third_window():
    denoiser = _denoiser("nano")
    paper = estimate(denoiser, Once(tap()), canvas=LONG)
    anchored = estimate(denoiser, Once(tap(anchors=1)), canvas=LONG)
    assert torch.equal(anchored[: 2 * FRAMES], paper[: 2 * FRAMES])
    assert (anchored - paper)[2 * FRAMES :].abs().max() > 1e-5


def test_a_choice_of_the_first_layer_is_that_of_all():
    notes, denoiser = Notes(), _denoiser("svd")
    estimate(denoiser, Once(tap(choice="first_layer")), canvas=LONG, observer=notes)
    own_keys, first = _own(notes), propagated_layers(denoiser.unet)[0]
    assert len(notes.choices) == 3 * 4
    for place, _, chosen in notes.choices:
        assert chosen[0].tolist() == _best(_deviations(own_keys[place.window, first]), 2)


def test_a_selection_of_the_first_frames_hands_on_those():
    notes, denoiser = Notes(), _denoiser("nano")
    estimate(denoiser, Once(tap(selection="first")), canvas=LONG, observer=notes)
    own_keys, merged = _own(notes), _merged(notes)
    for layer in propagated_layers(denoiser.unet):
        given = np.concatenate(list(own_keys[0, layer][:2]), axis=1)
        assert np.array_equal(merged[1, layer], given)


def test_both_is_the_average_of_forward_and_backward(denoiser):
    forward, backward = (_temporal(denoiser, i) for i in range(2))
    average = estimate(denoiser, Once(tap(direction="both")), canvas=LONG)
    torch.testing.assert_close(average, (forward + backward) / 2)
    assert (forward - backward).abs().max() > 1e-3


def test_a_random_direction_is_one_of_the_two_by_its_seed():
    denoiser = _denoiser("nano")
    forward, backward = (_temporal(denoiser, i) for i in range(2))
    for seed, expected in ((0, backward), (6, forward)):
        assert torch.equal(
            estimate(denoiser, Once(tap(direction="random", seed=seed)), canvas=LONG), expected
        )


def test_clean_keys_are_those_of_plain_evaluations(denoiser):
    plain, notes, chained = Notes(), Notes(), Notes()
    estimate(denoiser, NONE, canvas=LONG, observer=plain)
    estimate(denoiser, Once(tap(source="clean")), canvas=LONG, observer=notes)
    estimate(denoiser, Once(tap()), canvas=LONG, observer=chained)
    own_keys = _own(plain)
    assert len(notes.evaluations) == 2 * len(chained.evaluations) == 6
    for place, layer, k, _ in notes.exchanges:
        frames = own_keys[place.window, layer]
        best = [frames[f] for f in _best(_deviations(frames), 2)]
        assert np.array_equal(k[0, 0], np.concatenate(best, axis=1))
    last = [[k for place, layer, k, _ in n.exchanges if place.window == 1][-1] for n in (notes, chained)]
    assert apart(*last)


def test_windows_of_different_lengths_are_chained():
    canvas = 10, 2 * SIDE, SIDE
    windows = TileGrid(SIDE, 4, 0, "shifted").windows(*canvas, step=1)
    assert len({window[0].shape[0] for window in windows}) > 1
    propagation = Once(tap(frames=3, anchors=2))
    result = estimate(_denoiser("nano"), propagation, canvas=canvas, windows=windows)
    together = estimate(_denoiser("nano"), propagation, canvas=canvas, windows=windows, batch=None)
    torch.testing.assert_close(together, result, atol=2e-6, rtol=0)


@pytest.mark.parametrize("bad", [{"frames": 0}, {"frames": -1}, {"anchors": -1}])
def test_impossible_numbers_of_frames_are_refused(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        tap(**bad)


@pytest.mark.parametrize("key", ["selection", "choice", "direction", "source"])
def test_unknown_names_are_refused_with_those_known(key):
    with pytest.raises(ValueError, match=rf"^{key}: 'odd' is not a choice; choose \w+(, \w+)* or \w+$"):
        tap(**{key: "odd"})


def test_an_unknown_exchange_is_refused_with_both_known():
    with pytest.raises(ValueError, match=r"^exchange: 'lock' is not a choice; choose lockstep or two_pass$"):
        SpatialPropagation(0.25, "lock")


# in turn


def _schemes(propagation, steps):
    return [propagation.round(step, steps).scheme for step in range(steps)]


DCVSR = Alternating(SAP, tap(), "countdown", "own")


def test_25_steps_counted_down_begin_with_tap():
    """Spec A4: 13 TAP, 12 SAP."""
    schemes = _schemes(DCVSR, 25)
    assert schemes == (["tap", "sap"] * 13)[:25]
    assert (schemes.count("tap"), schemes.count("sap")) == (13, 12)
    assert _schemes(replace(DCVSR, parity="ascending"), 25) == (["sap", "tap"] * 13)[:25]


@given(steps=st.integers(1, 40))
def test_the_last_step_counted_down_is_t_1_and_so_tap(steps):
    assert _schemes(DCVSR, steps)[-1] == "tap"


@pytest.mark.parametrize("parity", ["countdown", "ascending"])
@pytest.mark.parametrize("steps", [24, 25])
@pytest.mark.parametrize("sap", [SAP, None])
def test_tap_s_steps_go_forward_and_backward_in_turn(parity, steps, sap):
    propagation = Alternating(sap, tap(), parity, "own")
    rounds = [propagation.round(step, steps) for step in range(steps)]
    firsts = [r.orders(5)[0][0] for r in rounds if r.scheme == "tap"]
    assert firsts == ([0, 4] * 25)[: len(firsts)]


def test_with_one_of_them_alone_it_acts_at_every_step():
    assert _schemes(replace(DCVSR, tap=None), 5) == ["sap"] * 5
    assert _schemes(replace(DCVSR, sap=None), 5) == ["tap"] * 5
    assert _schemes(replace(DCVSR, sap=None, tap=None), 5) == ["none"] * 5


@pytest.mark.parametrize("key", ["parity", "branches"])
def test_unknown_names_of_the_alternation_are_refused(key):
    with pytest.raises(ValueError, match=rf"^{key}: 'odd' is not a choice; choose "):
        replace(DCVSR, **{key: "odd"})


def test_neither_is_none():
    neither = estimate(_denoiser("nano"), replace(DCVSR, sap=None, tap=None))
    assert torch.equal(neither, _plain(_denoiser("nano")))


def test_each_step_is_that_of_its_scheme():
    denoiser, steps = _denoiser("nano"), range(4)
    results = [estimate(denoiser, DCVSR, canvas=LONG, step=step) for step in steps]
    forward, backward = (_temporal(denoiser, i) for i in range(2))
    spatial = estimate(denoiser, SAP, canvas=LONG)
    for result, expected in zip(results, (spatial, forward, spatial, backward), strict=True):
        assert torch.equal(result, expected)


# Both at every step


@cache
def _joint(denoiser, canvas):
    return estimate(denoiser, Alternating(SAP, tap(), "countdown", "own", joint=True), canvas=canvas)


def test_joint_with_one_tile_in_a_window_is_tap(denoiser):
    assert torch.equal(_joint(denoiser, LONG), _temporal(denoiser, 0))


def test_joint_with_one_window_is_sap(denoiser):
    assert torch.equal(_joint(denoiser, WIDE), _spatial(denoiser))


@pytest.mark.parametrize(("sap", "temporal"), [(SAP, None), (None, tap()), (TWO_PASS, None)])
def test_joint_with_one_of_them_off_is_the_other(sap, temporal):
    both, turns = (Alternating(sap, temporal, "countdown", "own", joint=joint) for joint in (True, False))
    assert torch.equal(*(estimate(_denoiser("nano"), one) for one in (both, turns)))


def test_joint_attends_to_the_keys_of_both(denoiser):
    """In the first propagated layer, whose own keys neither exchange has changed."""
    first = propagated_layers(denoiser.unet)[0]
    canvas, seen = (2 * FRAMES, 2 * SIDE, SIDE), []
    joint = Alternating(SAP, tap(), "countdown", "own", joint=True)
    for propagation in (SAP, Once(tap()), joint):
        notes = Notes()
        estimate(denoiser, propagation, canvas=canvas, observer=notes)
        seen.append(
            {
                (place.window, place.tiles): (k, q.shape[-2])
                for place, layer, q, k in notes.attentions
                if layer == first
            }
        )
    spatial, temporal, both = seen
    assert len(both) == 4
    for place, (k, own) in both.items():
        others = temporal[place][0][..., own:, :]
        assert others.shape[-2] == (0 if place[0] == 0 else 2 * own)
        assert torch.equal(k, torch.cat([spatial[place][0], others], dim=-2))


def test_joint_evaluates_each_tile_once():
    notes = Notes()
    estimate(_denoiser("nano"), Alternating(SAP, tap(), "countdown", "own", joint=True), observer=notes)
    assert len(notes.evaluations) == 4
    assert {place.scheme for place, _ in notes.evaluations} == {"joint"}


@pytest.mark.parametrize(("sap", "changed"), [(TWO_PASS, {}), (SAP, {"source": "clean"})])
def test_joint_refuses_exchanges_of_two_evaluations(sap, changed):
    with pytest.raises(ValueError, match=r"joint=true needs sap.exchange=lockstep and tap.source=chained"):
        Alternating(sap, tap(**changed), "countdown", "own", joint=True)
