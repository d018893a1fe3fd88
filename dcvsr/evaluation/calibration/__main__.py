"""``python -m dcvsr.evaluation.calibration``: published scores and the conventions that reproduce them."""

import logging
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from dcvsr.runtime.available import available
from dcvsr.runtime.cli import command, preflight

log = logging.getLogger(__name__)


@command("calibrate")
def main(cfg: DictConfig) -> None:
    """Write calibration.md, .csv and .json into the run folder."""
    preflight(cfg)
    from dcvsr.evaluation.calibration.calibration_tables import markdown, write
    from dcvsr.evaluation.calibration.comparison import calibrate
    from dcvsr.evaluation.calibration.published_scores import paper_scores
    from dcvsr.evaluation.calibration.subjects import results
    from dcvsr.evaluation.inputs import configured_sources
    from dcvsr.evaluation.paper_tables import Paper
    from dcvsr.runtime.device import choose

    folder, device = Path(HydraConfig.get().runtime.output_dir), choose(cfg.device)
    known, subjects = compose("calibration/published"), []
    if cfg.golden is not None:
        subjects += [instantiate(part).subject(Path(cfg.golden), device) for part in known.pictures.values()]
        subjects += instantiate(known.scoreboard).subjects(Path(cfg.golden), device)
    published = paper_scores(Paper(**known.table1), cfg.data.name, "bicubic")
    sources, bicubic = configured_sources(cfg), instantiate(known.bicubic)
    subjects.append(results(f"bicubic on {cfg.data.name}", published, sources, bicubic, device))
    conventions, missing = available(known.conventions)
    found = calibrate(subjects, conventions, missing)
    write(folder, found)
    log.info(f"{markdown(found)}\nrun: {folder}")


if __name__ == "__main__":
    main()
