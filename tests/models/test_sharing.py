"""One clip on several ranks: the same bits as on one, the bytes of the plan, and what a death leaves."""

import os
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.attention.alternating import Alternating
from dcvsr.attention.observer import NOBODY
from dcvsr.attention.propagation import NoPropagation, SpatialPropagation
from dcvsr.diffusion.guidance import DSSAG
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import to_unit
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.cost import Ledger
from dcvsr.models.shared_plan import SharedWork
from dcvsr.models.sharing import owners, positions
from dcvsr.models.tiled import grouped
from dcvsr.models.upscaling_helper import UpscalingHelper, help_with_clips
from dcvsr.runtime.ranks import joined
from dcvsr.runtime.workspace import Memory
from dcvsr.tiling.grid import Tile, TileGrid
from tests.attention.making import tap
from tests.models.test_upscaler import LinearDenoiser
from tests.training.forked import run_ranks
from tests.upscaling.making import make_lr, make_upscaler

CPU = torch.device("cpu")


def counts(ledger):
    return {
        "ranks": ledger.ranks,
        "received": ledger.received,
        "evaluations": ledger.evaluations.total(),
        "exchanged": dict(ledger.bytes),
    }


def share(up, lr, ranks, tmp_path):
    """Upscale by forked ranks; return HR and the counts of all of them."""

    def task():
        with joined("cpu") as here:
            ledger = Ledger(up)
            if here.number:
                help_with_clips(up, CPU, here, ledger)
                here.send((ledger.counts(), here.received), 0)
                return
            job = up.job(LRClip.of(lr), Memory(), CPU, observer=ledger, ranks=here)
            hr = torch.cat(list(job()))
            here.tell(None)
            others = [here.receive(rank) for rank in here.others]
            ledger.add([found for found, _ in others], here.received + sum(bytes for _, bytes in others))
            torch.save((hr, counts(ledger)), tmp_path / "found.pt")

    run_ranks(task, codes=(0,) * ranks)
    return torch.load(tmp_path / "found.pt", weights_only=True)


SAP, TAP = SpatialPropagation(0.25, "lockstep"), tap(anchors=2)
TWO_PASS = SpatialPropagation(0.25, "two_pass")


def alternating(sap, tap, branches="own", **more):
    return Alternating(sap, tap, "ascending", branches, **more)


ONE_STEP = Sampler(1, 5, 10, 7)
CASES = {
    "none": {"propagation": NoPropagation()},
    "SAP": {"propagation": alternating(SAP, None)},
    "TAP": {"propagation": alternating(None, TAP)},
    "both, in turn": {},
    "joint": {"propagation": alternating(SAP, tap(), joint=True), "sampler": ONE_STEP},
    "two passes": {
        "propagation": alternating(TWO_PASS, None, "conditional"),
        "sampler": ONE_STEP,
    },
    "shared keys": {"propagation": alternating(SAP, TAP, "shared")},
    "DSSAG": {"guidance": DSSAG(1.5, 0.5, 0.1, 10)},
    "shifted tiles": {"grid": TileGrid(8, 3, 0.4, "shifted")},
    "heun": {"sampler": Sampler(2, 0.1, 10, 7, "heun")},
    "two tiles a call": {"batch": 2},
    "an image a frame": {"image_frames": "each"},
}


@pytest.mark.parametrize(("name", "ranks"), [*((name, 2) for name in CASES), ("SAP", 3), ("TAP", 3)])
def test_several_ranks_give_the_bits_of_one_and_receive_the_bytes_of_the_plan(name, ranks, tmp_path):
    up, lr = make_upscaler(**CASES[name]), to_unit(make_lr(frames=5))
    alone = Ledger(up)
    hr, report = share(up, lr, ranks, tmp_path)
    assert torch.equal(hr, up(lr, observer=alone))
    plan = SharedWork(up, ranks, save_every=1).plan([(len(lr), *lr.shape[2:])])
    assert report == counts(alone) | {"ranks": report["ranks"], "received": plan.bytes}
    assert len(report["ranks"]) == ranks
    assert sum(report["ranks"]) == report["evaluations"]
    assert 1 < plan.speedup <= ranks


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 7), st.integers(1, 12), st.integers(1, 12), st.integers(2, 4), st.booleans())
def test_clips_of_any_size_are_shared_by_any_number_of_ranks(frames, height, width, ranks, chained):
    """A denoiser in closed form; often with more ranks than tiles or windows."""
    propagation = Chained() if chained else NoPropagation()
    up = make_upscaler(denoiser=LinearDenoiser(), sampler=ONE_STEP, propagation=propagation)
    lr = to_unit(make_lr(frames, height, width))
    with TemporaryDirectory() as folder:
        hr, _ = share(up, lr, ranks, Path(folder))
    assert torch.equal(hr, up(lr))


def test_more_ranks_than_tiles_take_part_in_every_exchange(tmp_path):
    up, lr = make_upscaler(propagation=CASES["joint"]["propagation"], sampler=ONE_STEP), to_unit(make_lr(2))
    tiles = len(up.windows(*(2, *lr.shape[2:]))[0])
    hr, report = share(up, lr, tiles + 1, tmp_path)
    assert torch.equal(hr, up(lr))
    assert report["ranks"][-1] == 0


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12), st.integers(1, 5))
def test_no_rank_has_more_than_the_mean_and_one_tile(sizes, ranks):
    tiles = [Tile(slice(0, 3), slice(0, rows), slice(0, columns)) for rows, columns in sizes]
    groups = grouped(tiles, 1)
    rank_of = owners(groups, ranks)
    assert sorted(m for group in groups for m in group) == list(range(len(tiles)))
    loads = [
        positions(
            tile
            for rank, group in zip(rank_of, groups, strict=True)
            if rank == each
            for tile in group.values()
        )
        for each in range(ranks)
    ]
    assert max(loads) <= positions(tiles) / ranks + max(positions([tile]) for tile in tiles)


class Chained(NoPropagation):
    """No exchange, but windows in order, as in TAP."""

    scheme = "tap"


@pytest.mark.parametrize("stage", ["encode", "tiles", "decode"])
def test_a_rank_that_dies_ends_the_others_in_one_line(stage, tmp_path, capfd):
    up = make_upscaler(sampler=ONE_STEP, propagation=alternating(None, TAP))
    lr = to_unit(make_lr())

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def task():
        with joined("cpu") as ranks:
            if ranks.number == 1:
                setattr(UpscalingHelper, f"_{stage}", die)
            if ranks.number:
                help_with_clips(up, CPU, ranks, NOBODY)
            else:
                list(up.job(LRClip.of(lr), Memory(), CPU, ranks=ranks)())

    begun = time.monotonic()
    run_ranks(task, codes=(1, -signal.SIGKILL, 1))
    assert time.monotonic() - begun < 30
    lines = capfd.readouterr().err.splitlines()
    assert sorted(line for line in lines if line.startswith("dcvsr")) == [
        f"dcvsr: rank {rank} of 3: another rank ended; the same command goes on from what is saved"
        for rank in (0, 2)
    ]
