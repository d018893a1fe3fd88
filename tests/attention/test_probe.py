"""The probe sees what happens, and changes nothing."""

import pytest
import torch

from dcvsr.attention.observer import Observers, Place
from dcvsr.attention.probe import Attention, Chosen, Probe, propagated_mass
from dcvsr.attention.propagation import SpatialPropagation
from dcvsr.diffusion.guidance import CFG
from tests.attention.making import Notes, Once, estimate, make_denoiser, tap

SAP = SpatialPropagation(0.25, "lockstep")


@pytest.fixture(scope="module")
def denoiser():
    return make_denoiser("nano")


def tables(probe):
    return {table.name: table.rows for table in probe.tables}


def test_the_mass_is_that_of_a_float64_softmax():
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 2, 5, 4), torch.randn(2, 3, 2, 12, 4)
    weights = (q.double() @ k.double().mT / 4**0.5).softmax(-1)
    expected = weights[..., 5:].sum(-1).mean(dim=(1, 2, 3))
    torch.testing.assert_close(torch.tensor(propagated_mass(q, k)).double(), expected, atol=1e-6, rtol=0)


def test_without_propagated_keys_there_is_no_mass_on_them():
    q = torch.randn(2, 3, 1, 5, 4)
    assert propagated_mass(q, q) == [0, 0]


def test_a_key_that_every_query_seeks_has_all_the_mass():
    q = torch.full((1, 1, 1, 4, 2), 9.0)
    assert propagated_mass(q, torch.cat([-q, q[..., :1, :]], dim=-2)) == [pytest.approx(1)]


@pytest.mark.parametrize("propagation", [SAP, Once(tap())])
def test_the_result_is_the_same_bit_for_bit(denoiser, propagation):
    bare = estimate(denoiser, propagation, CFG(1.0))
    assert torch.equal(estimate(denoiser, propagation, CFG(1.0), observer=Probe()), bare)


def test_every_layer_of_every_tile_is_noted_once_in_the_conditional_branch(denoiser):
    probe, notes = Probe("a"), Notes()
    estimate(denoiser, SAP, CFG(1.0), observer=Observers([probe, notes]))
    rows = tables(probe)["attention"]
    assert len(rows) == 4 * 2 * 2 == len(set(rows)) == len(notes.attentions) / 2
    assert all(0 < row.mass < 1 for row in rows)
    assert {(row.clip, row.step, row.sigma, row.scheme) for row in rows} == {("a", 0, 2.0, "sap")}
    assert not tables(probe)["frames"]


def test_the_first_window_of_a_direction_has_no_mass_and_the_second_has(denoiser):
    for number, direction, first in ((0, "forward", 0), (1, "backward", 1)):
        probe = Probe()
        estimate(denoiser, Once(tap(), number=number), observer=probe)
        rows = tables(probe)["attention"]
        assert {row.direction for row in rows} == {direction}
        assert all(row.mass == 0 if row.window == first else 0 < row.mass < 1 for row in rows)


def test_chosen_frames_are_those_that_tap_hands_on(denoiser):
    probe, notes = Probe(), Notes()
    estimate(denoiser, Once(tap()), CFG(1.0), observer=Observers([probe, notes]))
    rows = tables(probe)["frames"]
    expected = {
        (place.window, place.tiles[0], place.branch, layer): frames[0].tolist()
        for place, layer, frames in notes.choices
    }
    assert {
        (row.window, row.tile, row.branch, row.layer): [int(i) for i in row.frames.split()] for row in rows
    } == expected
    assert {row.branch for row in rows} == {0, 1}


def test_of_two_evaluations_the_merged_one_is_noted():
    probe, q = Probe(), torch.randn(1, 1, 1, 4, 2)
    place = Place(0, 1.0, "sap", "forward", 0, (3,), 4, 0, (2, 2))
    for keys in (q, torch.cat([q, q], dim=-2)):
        probe.attended(place, "layer", q, keys)
    assert [(row.tile, row.mass) for row in tables(probe)["attention"]] == [(3, pytest.approx(0.5))]


def test_a_plot_has_a_line_for_each_layer_and_its_mean_over_tiles():
    probe, q = Probe(), torch.zeros(2, 1, 1, 4, 2)
    for step, extra in ((0, 4), (1, 12)):
        place = Place(step, 1.0, "sap", "forward", 0, (0, 1), 2, 0, (2, 2))
        probe.attended(place, "up", q, torch.zeros(2, 1, 1, 4 + extra, 2))
    assert probe.mass_by_step == {"up": [(0, pytest.approx(0.5)), (1, pytest.approx(0.75))]}


def test_tables_have_the_columns_of_their_rows():
    assert [table.columns for table in Probe().tables] == [Attention._fields, Chosen._fields]
