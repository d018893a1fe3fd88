"""Sets of latents: whole files, and the order in which training reads them."""

from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from dcvsr.data.latent_samples import MIXED, LatentSamples, Order
from dcvsr.data.latent_set import LatentSet, Layout, sample_bytes
from dcvsr.runtime.errors import UserError

CROPS, DRAWS, SHARD = 23, 3, 5


def latent_set(root: Path, crops: int = CROPS, draws: int = DRAWS, shard: int = SHARD) -> LatentSet:
    return LatentSet.below(root, {"crop": 64}, Layout(0, crops, draws, shard, "float32"))


def value(crop: int, draw: int) -> torch.Tensor:
    """A latent that tells crop and draw."""
    return torch.full((2, 1, 2, 2), 100.0 * crop + draw)


@pytest.fixture
def latents(tmp_path: Path) -> LatentSet:
    found = latent_set(tmp_path)
    found.describe({})
    for shard in found.shards:
        crops = found.crops(shard)
        tensors = {
            "l": torch.stack([torch.stack([value(crop, draw) for crop in crops]) for draw in range(DRAWS)]),
            "y": torch.stack([value(crop, 0) for crop in crops])[None],
        }
        found.write(shard, tensors)
    return found


def test_all_samples_are_read_once_in_random_order_before_any_is_read_again(latents: LatentSet) -> None:
    samples = LatentSamples(latents, 2 * CROPS * DRAWS + 4, seed=0, epoch=1)
    each = [samples[number] for number in range(len(samples))]
    read = [int(sample["l"].flatten()[0]) for sample in each]
    every = sorted(100 * crop + draw for crop, draw in product(range(CROPS), range(DRAWS)))
    first, second = read[: len(every)], read[len(every) : 2 * len(every)]
    assert sorted(first) == sorted(second) == every
    assert first not in (second, every)
    assert all(torch.equal(sample["y"], value(int(sample["l"][0, 0, 0, 0]) // 100, 0)) for sample in each)


def test_the_order_depends_on_seed_and_epoch_alone(latents: LatentSet, tmp_path: Path) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        samples = LatentSamples(LatentSet.opened(latents.folder), 40, seed, epoch)
        return [int(samples[number]["l"].flatten()[0]) for number in reversed(range(40))]

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed, epoch in product((0, 1), (1, 2))}) == 4


def test_each_reading_runs_through_its_shard_and_few_alternate(tmp_path: Path) -> None:
    latents = latent_set(tmp_path, crops=400, draws=2, shard=16)
    order = Order(latents, (0, 1, 0))
    places = [order.place(position) for position in range(latents.samples)]
    rows: dict[tuple[int, int], list[int]] = {}
    for shard, draw, row in places:
        rows.setdefault((shard, draw), []).append(row)
    assert all(found == list(range(len(latents.crops(shard)))) for (shard, _), found in rows.items())
    group = MIXED * 16
    for start in range(0, latents.samples, group):
        assert len({(shard, draw) for shard, draw, _ in places[start : start + group]}) <= MIXED
    switches = sum(a[:2] != b[:2] for a, b in pairwise(places))
    assert switches > 0.8 * latents.samples


@pytest.mark.parametrize(("workers", "processes"), [(1, 1), (2, 1), (0, 2)])
def test_samples_do_not_depend_on_workers_and_processes(
    latents: LatentSet, workers: int, processes: int
) -> None:
    samples = LatentSamples(latents, 24, seed=3, epoch=2)
    read = {}
    for rank in range(processes):
        sampler = DistributedSampler(samples, processes, rank, shuffle=False)
        for batch in DataLoader(samples, batch_size=2, sampler=sampler, num_workers=workers):
            read |= zip(batch["number"].tolist(), batch["l"], strict=True)
    assert all(torch.equal(read[number], samples[number]["l"]) for number in range(24))


def test_shards_are_whole_or_missing(latents: LatentSet) -> None:
    assert latents.missing() == []
    content = latents.path(2).read_bytes()
    latents.path(2).write_bytes(content[:-7])
    latents.path(4).unlink()
    left = latents.path(2).with_name(f"{latents.path(2).name}.123.part")
    left.write_bytes(content[:50])
    assert latents.missing() == [2, 4]
    latents.write(2, {"l": torch.zeros(3, 5, 2)})
    assert latents.missing() == [4]
    assert not left.exists()


def test_the_folder_is_named_by_contents_and_layout(tmp_path: Path) -> None:
    names = {
        latent_set(tmp_path).folder.name,
        latent_set(tmp_path, draws=4).folder.name,
        LatentSet.below(tmp_path, {"crop": 32}, Layout(0, CROPS, DRAWS, SHARD, "float32")).folder.name,
    }
    assert len(names) == 3
    assert latent_set(tmp_path).folder.name in names


def test_bytes_of_a_crop_at_the_paper_s_size() -> None:
    """14 latents of 4x64x64 are 229,376 numbers: of 4 draws 4 l, one y, and 4 embeddings of 1024."""
    assert sample_bytes((14, 4, 64, 64), (1, 1024), 4, shares_y=True, item=2) == 2 * (5 * 229_376 + 4 * 1024)
    assert sample_bytes((14, 4, 64, 64), (14, 1024), 1, shares_y=False, item=4) == 4 * (
        2 * 229_376 + 14 * 1024
    )


def test_a_description_of_another_version_is_one_line(latents: LatentSet) -> None:
    (latents.folder / "about.json").write_text('{"contents": {}, "layout": {"crops": 3}}')
    with pytest.raises(UserError, match=r"about\.json is not of this version: run python -m dcvsr\.prepare"):
        LatentSet.opened(latents.folder)
