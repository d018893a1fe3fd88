"""``dcvsr <command> key=value ...``, which runs ``python -m dcvsr.<command> key=value ...``.

Importing this module imports neither torch nor hydra.
"""

import difflib
import runpy
import sys

import dcvsr

COMMANDS = {
    "upscale": ("dcvsr.upscale", "upscale a video four times"),
    "finish": ("dcvsr.upscaling.finish", "correct colours and strength of an upscaled video"),
    "plan": ("dcvsr.plan", "tell what upscaling or training takes"),
    "prepare": ("dcvsr.prepare", "store latents of degraded crops for training"),
    "train": ("dcvsr.train", "train one stage of the method"),
    "evaluate": ("dcvsr.evaluate", "score an upscaler on the test clips of a data set"),
    "degrade": ("dcvsr.degrade", "make an LR set; degrade verify, degrade preview"),
    "export": ("dcvsr.export", "write a trained network in diffusers' layout"),
    "report": ("dcvsr.report", "gather runs into one HTML page"),
}
"""Name -> module to run and one line of help."""

TOOLS = {
    "calibrate": ("dcvsr.evaluation.calibration", "compare metrics with published scores"),
    "reds": ("dcvsr.data.reds", "lay out REDS as the paper splits it"),
    "text2image": ("dcvsr.text2image", "make and score the images of the paper's Table 3"),
    "figure3": ("dcvsr.figures.figure3", "draw the paper's Fig. 3 of a clip"),
}
"""Commands that reproduce the paper or prepare data."""


def module_of(command: str) -> str:
    """Return the module that ``command`` runs.

    Raises:
        KeyError: if there is no such command.
    """
    return (COMMANDS | TOOLS)[command][0]


def main() -> None:
    """Run the command that the first argument names, as ``python -m`` runs its module."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(f"dcvsr {dcvsr.__version__}")
    elif name in COMMANDS | TOOLS:
        sys.argv[1:] = arguments
        # As by python -m, __main__ is the command's module: processes that Lightning or multiprocessing
        # start further run that module, and take its arguments from sys.argv.
        runpy.run_module(module_of(name), run_name="__main__", alter_sys=True)
    else:
        near = difflib.get_close_matches(name, COMMANDS | TOOLS, n=1, cutoff=0.5)
        hint = f": did you mean '{near[0]}'?" if near else ";"
        print(f"dcvsr: '{name}' is not a command{hint} dcvsr --help lists the commands", file=sys.stderr)
        sys.exit(2)


def _help() -> str:
    def listed(commands: dict[str, tuple[str, str]]) -> str:
        return "\n".join(
            f"  {name:<11} {says:<52} python -m {module}" for name, (module, says) in commands.items()
        )

    return f"""\
Diffusion video super-resolution with the method of DC-VSR.

  dcvsr upscale input=clip.mp4 output=big.mp4
  dcvsr upscale --help                            the keys of a command

Commands
{listed(COMMANDS)}

Tools
{listed(TOOLS)}"""


if __name__ == "__main__":
    main()
