"""Starts that would not give one run of the processes asked for are refused with the way out."""

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.training.launch import refuse_launch

FOLDER = ["hydra.run.dir=run"]


@pytest.mark.parametrize(
    ("preset", "devices", "nodes", "sweeping", "overrides", "environment"),
    [
        ("single", 1, 1, True, [], {}),
        ("single", [3], 1, False, [], {}),
        ("ddp", 4, 1, False, [], {}),
        ("ddp", 4, 2, False, FOLDER, {"WORLD_SIZE": "8"}),
        ("ddp", 2, 1, True, [], {"WORLD_SIZE": "2", "LOCAL_RANK": "0"}),
        ("slurm", 4, 2, False, FOLDER, {"SLURM_NTASKS": "8"}),
        ("fsdp", 1, 1, False, [], {"SLURM_NTASKS": "1"}),
    ],
)
def test_a_start_of_one_run_is_not_refused(preset, devices, nodes, sweeping, overrides, environment):
    refuse_launch(preset, devices, nodes, sweeping, overrides, environment)


@pytest.mark.parametrize(
    ("preset", "devices", "nodes", "sweeping", "overrides", "environment", "said"),
    [
        ("single", 2, 1, False, [], {}, "choose trainer=ddp, fsdp or slurm"),
        ("single", "auto", 1, False, [], {}, "got devices=auto"),
        ("single", 1, 2, False, [], {}, "nodes=2"),
        ("slurm", 4, 1, False, FOLDER, {}, "start it with srun, or choose trainer=ddp"),
        ("ddp", [0, 1], 1, True, [], {}, "set devices=1, or use torchrun"),
        ("ddp", 4, 1, False, ["hydra.verbose=true"], {"WORLD_SIZE": "4"}, "add hydra.run.dir=FOLDER"),
        ("fsdp", 4, 2, False, [], {"SLURM_NTASKS": "8"}, "8 processes need one folder"),
    ],
)
def test_another_start_is_refused_with_the_way_out(
    preset, devices, nodes, sweeping, overrides, environment, said
):
    with pytest.raises(UserError, match=said):
        refuse_launch(preset, devices, nodes, sweeping, overrides, environment)
