"""Command-line arguments before Hydra parses them: former spellings and file names.

Importing this module does not import torch.
"""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence

from dcvsr.runtime.errors import UserError

FILE_KEYS = {
    "input",
    "output",
    "manifest",
    "ckpt",
    "golden",
    "truth",
    "cache.folder",
    "captions.path",
    "real_images",
    "inception",
    "pipeline.weights",
    "resume",
    "runs",
    "data.path",
    "data.lr",
    "data.manifest",
    "model.weights",
    "upscaler.path",
    "upscaler.weights",
    "flow.weights",
    "engine.cuts",
    "latents",
    "region",
}
"""Keys whose values are file names or hold commas; `quote` keeps Hydra's grammar from parsing them."""

FILE_GROUPS = {"pairs", "trainings"}
"""Keys with such keys below them."""

RENAMED = {
    "upscaler=enlarger": "upscaler=upsampler",
    "photographs=": "real_images=",
    "effective_batch=": "batch=",
}
"""Former spellings of keys and options, which still work."""


def root(key: str) -> str:
    """Return the first part of a dotted key, without the ``+`` of an added key."""
    return key.lstrip("+").partition(".")[0]


def renamed(argument: str) -> str:
    """Replace a former spelling of `RENAMED`, alone or in a list of a sweep, and say so on stderr."""
    key, equals, value = argument.partition("=")
    for old, new in RENAMED.items():
        old_key, _, old_option = old.partition("=")
        new_key, _, new_option = new.partition("=")
        options = value.split(",")
        if key != old_key or (old_option and old_option not in options):
            continue
        print(f"dcvsr: {old} is deprecated; write {new}", file=sys.stderr)
        key, value = new_key, ",".join(new_option if old_option == one else one for one in options)
    return f"{key}{equals}{value}"


def refuse_moved(arguments: Sequence[str], moved: Mapping[str, str]) -> None:
    """Refuse former flags that turned a command into another one.

    Args:
        arguments: the command line.
        moved: flag -> module of the command that does its job now.

    Raises:
        UserError: naming the command line to type instead.
    """
    for flag in arguments:
        if module := moved.get(root(flag.partition("=")[0])):
            others = shlex.join(argument for argument in arguments if argument != flag)
            raise UserError(f"{flag} is a command of its own now: python -m {module} {others}".rstrip())


def quote(argument: str, sweeping: bool = False) -> str:
    """Quote the value of a file key, so that Hydra takes ``clip (1).mp4`` or ``a,b.mp4`` as it is.

    ``~`` is expanded, because shells do not expand it after an equals sign. In a sweep, Hydra reads
    ``choice(a.mp4,b.mp4)`` and ``${hydra:job.num}``.
    """
    key, _, value = argument.partition("=")
    names_a_file = key in FILE_KEYS or root(key) in FILE_GROUPS
    if key == "hydra.run.dir":  # may hold ${now:...}, and be quoted already
        names_a_file = not re.search(r"\$\{|\n|^['\"].*['\"]$", value)
    if not names_a_file or value in ("", "null"):
        return argument
    if sweeping and re.search(r"^choice\(.*\)$|\$\{hydra:", value):
        return argument
    value = os.path.expanduser(value)
    value = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # OmegaConf would read ${...} as an interpolation
    value = re.sub(r"(\\*)'", r"\1\1\\'", value)
    value = re.sub(r"(\\+)$", r"\1\1", value)
    return f"{key}='{value}'"
