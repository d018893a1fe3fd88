"""How a command meets its user: file names as they are, no unknown key, one line a mistake, exit codes."""

import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dcvsr.runtime import config_keys
from dcvsr.runtime.errors import UserError

_HERE = Path(__file__).resolve().parents[1]
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
"""The YAML tree: inside the package in an installed wheel, beside it in a checkout."""

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
}
"""Keys whose values are file names, which Hydra's grammar must not read."""

FILE_GROUPS = {"pairs", "trainings"}
"""Keys with such keys below them."""

RENAMED = {"upscaler=enlarger": "upscaler=upsampler", "photographs=": "real_images="}
"""Former spellings of keys and options, which still work."""

Task = Callable[[DictConfig], None]


def command(config_name: str) -> Callable[[Task], Callable[[], None]]:
    """Make ``task`` a command that composes ``conf/<config_name>.yaml``.

    Exit codes: 0 done, 2 a user's mistake (one line on stderr), 130 interrupted, 1 anything else.
    """

    def decorate(task: Task) -> Callable[[], None]:
        given: list[str] = []

        @functools.wraps(task)
        def checked(cfg: DictConfig) -> None:
            sys.argv[1:] = given  # what Lightning starts further processes with
            with _sweep_goes_on(), _mistakes_end_in_one_line():
                _refuse_unknown_and_missing(cfg, config_name)
                task(cfg)

        def run() -> None:
            # Hydra then raises instead of printing: the line is ours to write.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            given[:] = sys.argv[1:]
            sys.argv[1:] = [quote(as_group(renamed(argument))) for argument in given]
            with _mistakes_end_in_one_line(config_name):
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(checked)()

        return run

    return decorate


def run(command: str, *arguments: str) -> None:
    """Print and run ``python -m dcvsr.<command> ...``; where it fails, end with its exit code."""
    print(f"\n$ python -m dcvsr.{command} {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", f"dcvsr.{command}", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


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


def as_group(argument: str) -> str:
    """``propagation.sap.exchange=two_pass`` names a group of options: Hydra writes it with slashes."""
    key, equals, value = argument.partition("=")
    group = key.replace(".", "/")
    is_group = equals and "." in key and (CONF / group.lstrip("+~")).is_dir()
    return f"{group}={value}" if is_group else argument


def quote(argument: str) -> str:
    """Quote the value of a file key, so that Hydra takes ``clip (1).mp4`` or ``a,b.mp4`` as it is.

    ``~`` is expanded: no shell does it behind an equals sign.
    """
    key, _, value = argument.partition("=")
    names_a_file = key in FILE_KEYS or _root(key) in FILE_GROUPS
    if not names_a_file or value in ("", "null"):
        return argument
    value = os.path.expanduser(value)
    value = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # OmegaConf would read ${...} as an interpolation
    value = re.sub(r"(\\*)'", r"\1\1\\'", value)
    value = re.sub(r"(\\+)$", r"\1\1", value)
    return f"{key}='{value}'"


class JobFailed(Exception):
    """The exit code of a sweep's job that has printed its mistake."""


@contextmanager
def _sweep_goes_on() -> Iterator[None]:
    """Let Hydra run the other jobs of a sweep after a user's mistake in one: an exit would end them all."""
    try:
        yield
    except SystemExit as stop:
        if stop.code != 2 or HydraConfig.get().mode != RunMode.MULTIRUN:
            raise
        raise JobFailed(stop.code) from None


@contextmanager
def _mistakes_end_in_one_line(config_name: str | None = None) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except JobFailed as failed:
        sys.exit(failed.args[0])
    except UserError as error:
        fail(str(error))
    except InstantiationException as error:
        refused = refused_value(error)
        if refused is None:
            raise
        fail(refused)
    except (HydraException, OmegaConfBaseException) as error:
        fail(_composition_mistake(str(error), config_name))


def _root(key: str) -> str:
    return key.lstrip("+").partition(".")[0]


def fail(message: str, code: int = 2) -> NoReturn:
    """Print ``message`` as one line on stderr and exit with ``code``."""
    print("dcvsr: " + "; ".join(filter(None, map(str.strip, message.splitlines()))), file=sys.stderr)
    sys.exit(code)


def refused_value(error: BaseException) -> str | None:
    """What a constructor said of a value in the configuration, or None where it is no user's mistake."""
    key = re.search(r"full_key: (\S+)", str(error))
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError | ValueError | TypeError):
        cause = cause.__cause__
    if cause is None:
        return None
    return str(cause) if isinstance(cause, UserError) or key is None else f"{key[1]}: {cause}"


def _composition_mistake(message: str, config_name: str | None) -> str:
    unknown = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", message)
    if unknown is None or config_name is None:
        return message.partition("Config search path:")[0]
    return _unknown((unknown[1] or unknown[2]).replace("/", "."), _composed(config_name))


def _composed(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration under other overrides, inside a task and outside."""
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(config_name, list(overrides))
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, list(overrides))


def _unknown(name: str, cfg: DictConfig, arguments: Sequence[str] = ()) -> str:
    """A line that names the key most like ``name``, of ``cfg`` or of the ``arguments`` of its objects."""
    known = [key for key, _ in config_keys.keys(OmegaConf.to_container(cfg)) if "._" not in key]
    group = _root(name) if (CONF / _root(name)).is_dir() and "." in name else ""
    near = config_keys.similar(name, [key for key in [*known, *arguments] if key.startswith(group)])
    if near and near != group:
        hint = f"did you mean '{near}'? "
    else:
        options = sorted(file.stem for file in (CONF / group).glob("*.yaml")) if group else []
        hint = f"the {group} chosen has none; choose {group}={'|'.join(options)}; " if options else ""
    return f"unknown key '{name}': {hint}--help lists the keys"


def _refuse_unknown_and_missing(cfg: DictConfig, config_name: str) -> None:
    """Hydra lets ``+key=value`` invent keys that nothing reads, and says of ``???`` only when it is read."""
    overrides = list(HydraConfig.get().overrides.task)
    added = [override for override in overrides if override.startswith("+") and not _is_choice(override)]
    before = _composed(config_name, [one for one in overrides if one not in added]) if added else cfg
    for key in (override.partition("=")[0].lstrip("+") for override in added):
        if _root(key) not in FILE_GROUPS and not config_keys.is_read(key, before, cfg):
            raise UserError(_unknown(key, before, config_keys.arguments(key, cfg)))
    missing = [f"{key}=..." for key, value in config_keys.keys(OmegaConf.to_container(cfg)) if value == "???"]
    if missing:
        raise UserError(f"missing {', '.join(missing)}; --help shows an example")


def _is_choice(override: str) -> bool:
    """Tell whether an override such as ``+experiment=stage1`` chooses from a group of options."""
    group = re.split(r"[=@]", override)[0].lstrip("+").replace(".", "/")
    return (CONF / group).is_dir()


def preflight(cfg: DictConfig) -> None:
    """Check what a run needs from outside, data and weights, before anything slow is imported.

    Raises:
        UserError: naming everything that is missing, in one line.
    """
    missing = []
    parts = [cfg.get("data"), cfg.model if "denoiser" in cfg.upscaler else None]
    for requirement in (part.get("requires") for part in parts if part is not None):
        try:
            hydra.utils.instantiate(requirement)
        except InstantiationException as error:
            missing.append(refused_value(error) or str(error))
    if missing:
        raise UserError("; ".join(missing))
