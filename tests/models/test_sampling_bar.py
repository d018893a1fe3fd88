"""The bar of a sampling run."""

from dcvsr.attention.observer import Place
from dcvsr.models.sampling_bar import sampling_bar

PLACE = Place(1, 2.0, "none", "forward", 4, (0,), 1, 0, (8, 8))


def test_a_resumed_bar_begins_at_what_was_done_and_estimates_by_what_is_new(capsys):
    with sampling_bar(10, "upscale", 3) as bar:
        bar.resumed(6)
        bar.evaluated(PLACE, None)
        bar.advance(1.5)
        tqdm = bar._bar
        assert (tqdm.n, tqdm.initial) == (7.5, 6)
        assert tqdm.postfix == "step 2/3, window 5"


def test_the_bar_ends_at_its_total_whatever_parts_sum_to(capsys):
    with sampling_bar(1, "upscale") as bar:
        for _ in range(3):
            bar.advance(0.3334)
        assert bar._bar.n == 1


def test_stages_outside_the_u_net_are_named(capsys):
    with sampling_bar(1, "upscale") as bar:
        bar.reached("encoding frame", 3, 8)
        assert bar._bar.postfix == "encoding frame 3/8"
