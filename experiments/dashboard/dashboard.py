"""A saved wandb workspace for the runs of dcvsr: scores, each swept key, cost, training, videos, tables.

Needs pip install -e '.[dashboard]' and, but for --json, wandb login. Each save makes a workspace of its own.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from dcvsr.runtime.cli import CONF, fail
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import missing
from dcvsr.runtime.files import write_whole

if TYPE_CHECKING:
    from wandb_workspaces import workspaces as ws

SCORES = {
    "evaluate/tof": "tOF ↓",
    "evaluate/tlp": "tLP ↓",
    "evaluate/dists": "DISTS ↓",
    "evaluate/musiq": "MUSIQ ↑",
    "evaluate/dover": "DOVER ↑",
}
NUMBERS = (
    "propagation.sap.rate",
    "propagation.tap.frames",
    "guidance.rho",
    "guidance.scale",
    "sampler.steps",
)
"""Keys of a run's configuration to plot scores against; those of VARIANTS have names for values."""
VARIANTS = ("choices.propagation", "propagation.tap.selection", "guidance._target_")
UPSCALER = "choices.upscaler"
COSTS = ("evaluate/cost/evaluations", "evaluate/cost/seconds")
TRAINING = (
    *("train/loss", "train/grad_norm", "val/lpips"),
    *("val/dists", "val/tof", "val/tlp"),
    *("train/samples_per_second", "train/data_wait", "memory/optimizer"),
)
MEDIA = ("val/bigbuckbunny_end", "val/bikes_end")
TABLES = ("evaluate/results",)
RUNS = 100
"""A panel draws as many; wandb's own 10 are fewer than the ambiguities' sweep has."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    project = OmegaConf.load(CONF / "wandb/offline.yaml").project
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--entity", help="user or team whose project it is; None: the one that you are logged in as")
    add("--project", default=project, help="that the runs were logged to")
    add("--media", nargs="+", default=MEDIA, metavar="KEY", help="of videos, val/CLIP for validation clips")
    add("--json", type=Path, metavar="FILE", help="write what would be saved, and ask no server")
    return parser.parse_args(argv)


def sections(media: Sequence[str]) -> "list[ws.Section]":
    """Return the sections of the workspace from top to bottom; most have one column for each score."""
    from wandb_workspaces.reports import v2 as wr
    from wandb_workspaces.workspaces import Section, SectionLayoutSettings

    def section(name: str, panels: list[Any], columns: int = len(SCORES)) -> Section:
        layout = SectionLayoutSettings(columns=columns, rows=-(-len(panels) // columns))
        return Section(name=name, panels=panels, is_open=True, layout_settings=layout)

    tables = [wr.WeavePanelSummaryTable(table_name=key) for key in TABLES]
    lines = [wr.LinePlot(title=key, x="trainer/global_step", y=[key]) for key in TRAINING]
    return [
        section("Scores", [*bars(), *bars(UPSCALER)]),
        *(section(f"Scores by {key}", scatters(wr.Config(key), key)) for key in NUMBERS),
        *(section(f"Scores by {key}", bars(key)) for key in VARIANTS),
        section("Cost", [plot for key in COSTS for plot in scatters(wr.SummaryMetric(key), key)]),
        section("Training", lines, 3),
        section("Videos", [wr.MediaBrowser(media_keys=list(media))], 1),
        section("Tables", tables, 1),
    ]


def bars(key: str | None = None) -> list[Any]:
    """A plot for each score: a bar for each run, or the mean and spread of those that share ``key``."""
    from wandb_workspaces.reports import v2 as wr

    limits: dict[str, Any] = {"max_runs_to_show": RUNS, "max_bars_to_show": RUNS}
    if key is None:
        return [wr.BarPlot(title=f"{title}, each run", metrics=[y], **limits) for y, title in SCORES.items()]
    group = {"groupby": wr.Config(key), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev", **limits}
    return [wr.BarPlot(title=f"{title} by {key}", metrics=[y], **group) for y, title in SCORES.items()]


def scatters(x: Any, name: str) -> list[Any]:
    """A plot for each score against ``x``, a point for each run."""
    from wandb_workspaces.reports import v2 as wr

    return [
        wr.ScatterPlot(title=f"{title} against {name}", x=x, y=wr.SummaryMetric(y))
        for y, title in SCORES.items()
    ]


def workspace(entity: str, project: str, media: Sequence[str]) -> "ws.Workspace":
    from wandb_workspaces.workspaces import RunsetSettings, Workspace, WorkspaceSettings

    return Workspace(
        entity=entity,
        project=project,
        name="dcvsr",
        sections=sections(media),
        settings=WorkspaceSettings(max_runs=RUNS),
        runset_settings=RunsetSettings(pinned_columns=[f"summary:{key}" for key in SCORES]),
    )


def save(entity: str | None, project: str, media: Sequence[str]) -> str:
    """Its address.

    Raises:
        UserError: nobody is logged in, or the server refuses or cannot be reached.
    """
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # else it asks for the key, and waits
    try:
        if (entity := entity or wandb.Api().default_entity) is None:
            raise UserError("you have no default entity; give --entity")
        return workspace(entity, project, media).save().url
    except wandb.Error as error:
        reason = str(error).rstrip(".")
        raise UserError(f"no dashboard: {reason}; --json FILE writes it without a server") from error


def run(asked: argparse.Namespace) -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise missing("the dashboard", "wandb-workspaces", "dashboard") from error
    if asked.json is None:
        print(save(asked.entity, asked.project, asked.media))
        return
    spec = workspace(asked.entity or "", asked.project, asked.media)._to_model().spec  # as save() sends it
    write_whole(asked.json, spec.model_dump_json(by_alias=True, exclude_none=True, indent=2))
    print(asked.json)


def main(argv: Sequence[str] | None = None) -> None:
    try:
        run(arguments(argv))
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted", 130)


if __name__ == "__main__":
    main()
