"""How commands meet their users."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.__main__ import COMMANDS, TOOLS, module_of
from dcvsr.runtime import cli
from dcvsr.runtime.cli import CONF, command, quote, renamed
from dcvsr.runtime.errors import UserError
from tests.conftest import restored

NAMES = [
    "clip (1).mp4",
    "été.mp4",
    "a,b.mp4",
    "a&b.mp4",
    "it's.mp4",
    "a=b.mp4",
    "[x]{y}.mp4",
    "${z}.mp4",
    "back\\.mp4",
]


def _as_hydra_reads(name: str) -> str:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("upscale", [quote(f"input={name}"), "output=b"]).input


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_is_taken_as_it_is(name):
    assert _as_hydra_reads(name) == name


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).map("x{}".format))
def test_any_file_name_is_taken_as_it_is(name):
    assert _as_hydra_reads(name) == name


def test_a_data_folder_is_taken_as_it_is():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", ["data=folder", quote("data.path=my clips (2), new")])
    assert cfg.data.path == cfg.data.name == "my clips (2), new"


@pytest.mark.parametrize("name", ["a=b", "a,b", "it's", 'say "hi"', "a{b", "outputs/a b"])
def test_a_run_folder_is_taken_as_it_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", f"hydra.run.dir=r/{name}"])
    with restored():
        command("evaluate")(lambda cfg: None)()
    assert (tmp_path / "r" / name / ".hydra").is_dir()


@pytest.mark.parametrize("value", ["outputs/${now:%Y}", "'a=b'"])
def test_a_run_folder_in_hydra_s_own_words_is_left_to_hydra(value):
    assert quote(f"hydra.run.dir={value}") == f"hydra.run.dir={value}"


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert _as_hydra_reads("~/a.mp4") == "/home/someone/a.mp4"


def test_other_keys_are_left_to_hydra():
    assert quote("sampler.steps=1,2") == "sampler.steps=1,2"
    assert quote("ckpt=null") == "ckpt=null"


def test_a_sweep_chooses_between_files_and_names_outputs_by_job():
    for value in ("input=choice(a.mp4,b.mp4)", "output=big_${hydra:job.num}.mp4"):
        assert quote(value, sweeping=True) == value
        assert quote(value) != value
    assert quote("input=a,b.mp4", sweeping=True) == "input='a,b.mp4'"


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ("upscaler=enlarger", "upscaler=upsampler"),
        ("upscaler=bicubic,enlarger", "upscaler=bicubic,upsampler"),
        ("photographs=val2014", "real_images=val2014"),
    ],
)
def test_a_former_spelling_works_and_names_the_present_one(former, present, capsys):
    assert renamed(former) == present
    assert "is deprecated; write" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["upscaler=dcvsr", "input=enlarger", "real_images=a", "-m"])
def test_present_spellings_pass_unchanged(argument, capsys):
    assert renamed(argument) == argument
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [*COMMANDS, *TOOLS])
def test_help_answers_without_importing_torch(command):
    module = module_of(command)
    arguments = [sys.executable, "-X", "importtime", "-m", module, "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert f"python -m {module}" in done.stdout
    assert " hydra\n" in done.stderr
    assert " torch\n" not in done.stderr


def test_a_mistyped_key_is_answered_with_the_right_one(run):
    done = run("upscale", "input=a.mp4", "output=b.mp4", "samplr.steps=3")
    assert done.code == 2
    assert (
        done.err == "dcvsr: unknown key 'samplr.steps': did you mean 'sampler.steps'? --help lists the keys\n"
    )


def test_a_key_of_another_choice_names_the_choices(run):
    done = run("upscale", "input=a.mp4", "output=b.mp4", "guidance=none", "guidance.scale=2")
    assert done.code == 2
    assert done.err.startswith(
        "dcvsr: unknown key 'guidance.scale': the guidance chosen has none; choose guidance=cfg|"
    )


def test_a_dictionary_that_does_not_fit_is_named(run):
    done = run("upscale", "input=a.mp4", "output=b.mp4", "guidance={scale:abc}")
    assert done.code == 2
    assert done.err == (
        "dcvsr: guidance={...} has a key that the guidance chosen lacks; --help lists the choices and keys\n"
    )


@pytest.mark.parametrize("key", ["metrics.flow", "propagation.sap.exchange", "tile.schedule"])
def test_a_key_with_slashes_is_answered_with_dots(run, key):
    slashes = key.replace(".", "/")
    done = run("evaluate", f"{slashes}=odd")
    assert done.code == 2
    assert done.err == f"dcvsr: unknown key '{slashes}': did you mean '{key}'? --help lists the keys\n"


def test_a_key_that_nothing_reads_is_refused(run):
    done = run("upscale", "input=a.mp4", "output=b.mp4", "+speed=3")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "unknown key 'speed'" in done.err


@pytest.mark.parametrize(
    ("command", "added", "meant"),
    [
        ("evaluate", "+data.lenght=4", "data.length"),
        ("evaluate", "++data.lenght=4", "data.length"),
        ("evaluate", "+sampler.stepz=3", "sampler.steps"),
        ("evaluate", "+data.test.boxer.clip.strat=3", "data.test.boxer.clip.start"),
        ("train", "+trainer.max_tme=1", "trainer.max_time"),
        ("train", "+trainer.max_tme._target_=datetime.timedelta", "trainer.max_time"),
        ("train", "+steps.nan=3", "steps.nano"),
        ("train", "+sped=3", "seed"),
        ("report", "+medai=3", "media"),
    ],
)
def test_a_mistyped_key_that_is_added_is_answered_with_the_right_one(run, command, added, meant):
    others = {"evaluate": ["data=unseen"], "train": ["+experiment=stage1"], "report": ["output=a.html"]}
    done = run(command, *others[command], added)
    assert done.code == 2
    key = added.lstrip("+").partition("=")[0]
    assert done.err == f"dcvsr: unknown key '{key}': did you mean '{meant}'? --help lists the keys\n"


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("train", ["+trainer.max_time=00:01:00:00"]),  # an argument of an object
        ("train", ["+model.upsample.weights=a.safetensors"]),
        ("train", ["+trainer.logger.version=1"]),  # what an argument holds
        ("train", ["+module.about.note=mine"]),
        ("train", ["+callbacks.mine._target_=lightning.pytorch.Callback"]),  # another object by name
        ("train", ["+data.training.mine={_target_:dcvsr.data.clips.VideoClip,path:a.mp4}"]),
        ("train", ["+callbacks.mine._target_=dcvsr.training.ema.EMA", "+callbacks.mine.decay=0.9"]),
        ("evaluate", ["+metrics.dover._target_=dcvsr.metrics.dover.DOVER"]),
        ("evaluate", ["++seed=3", "++data.length=8", "++data.test.boxer.side=64"]),  # keys that there are
        ("evaluate", ["+wandb.tags=[a]"]),  # of **kwargs
        ("evaluate", ["+alternative=default", "+table2=sap", "+sweep=parallel"]),  # choices
        ("report", ["+paper=table1", "+pairs.a.left=a.mp4", "+pairs.a.right_label=b", "+trainings.a=run"]),
    ],
)
def test_a_key_that_is_read_can_be_added(name, added, monkeypatch, tmp_path):
    others = {"evaluate": ["data=unseen"], "train": ["+experiment=stage1"], "report": ["output=a.html"]}
    monkeypatch.setattr(
        "sys.argv", [name, *others[name], *added, f"hydra.run.dir={tmp_path}", "hydra.mode=RUN"]
    )
    seen = []
    command(name)(seen.append)()
    assert len(seen) == 1


def test_a_missing_key_is_named(run):
    done = run("upscale", "input=a.mp4")
    assert done.code == 2
    assert done.err == "dcvsr: missing output=...; --help shows an example\n"


@pytest.mark.parametrize("key", ["scale=huge", "guidance=magic", "upscaler=waifu"])
def test_an_unknown_choice_lists_what_there_is(run, key):
    done = run("upscale", "input=a.mp4", "output=b.mp4", key)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert key.split("=")[1] in done.err


@pytest.mark.parametrize(
    "value",
    [
        "sampler.steps=0",
        "sampler.steps=-1",
        "tile.size=0",
        "tile.frames=-2",
        "tile.overlap=1",
        "sampler.sigma_min=0",
        "tile.schedule=odd",
        "sampler.solver=odd",
        "propagation.sap.exchange=odd",
    ],
)
def test_an_impossible_number_is_refused_before_anything_is_made(run, clip, tmp_path, value):
    done = run("upscale", f"input={clip}", "output=b.mp4", "ckpt=null", value)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert value.split("=")[1] in done.err
    assert not Path(tmp_path, "b.mp4").exists()


def test_further_processes_start_from_what_was_typed(tmp_path, monkeypatch):
    """Lightning starts them with sys.argv: quoted there, a file would be quoted twice."""
    typed = ["input=a (1).mp4", "output=b.mp4", f"hydra.run.dir={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["upscale", *typed])
    seen = []
    with restored():
        command("upscale")(lambda cfg: seen.append((cfg.input, sys.argv[1:])))()
    assert seen == [("a (1).mp4", typed)]


def test_a_script_ends_where_its_command_does(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.run("upscale", "input=no such.mp4", "samplr.steps=3")
    assert end.value.code == 2
    printed = capfd.readouterr()
    assert "$ python -m dcvsr.upscale 'input=no such.mp4' samplr.steps=3" in printed.out
    assert "unknown key 'samplr.steps'" in printed.err


def test_a_disk_that_is_full_is_one_line(capfd, tmp_path, monkeypatch):
    @command("evaluate")
    def full(_):
        raise OSError(28, "No space left on device", "videos/a.mp4")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", "hydra.run.dir=run"])
    with restored(), pytest.raises(SystemExit) as stop:
        full()
    assert stop.value.code == 2
    line = (
        "dcvsr: cannot write videos/a.mp4: No space left on device; free disk space, or name another folder\n"
    )
    assert capfd.readouterr().err == line


def test_a_sweep_names_all_jobs_that_fail_and_runs_the_others(capfd, tmp_path, monkeypatch):
    ran = []

    @command("evaluate")
    def job(cfg):
        ran.append(cfg.seed)
        if cfg.seed == 1:
            raise UserError("a mistake")
        if cfg.seed == 2:
            raise RuntimeError("a fault")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", "-m", "seed=1,2,3", "crf=9", "hydra.sweep.dir=run"])
    with restored(), pytest.raises(SystemExit) as stop:
        job()
    assert (stop.value.code, ran) == (1, [1, 2, 3])
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "dcvsr: a mistake"
    assert lines[-2:] == [
        "RuntimeError: a fault",
        "dcvsr: 2 of 3 jobs failed: seed=1, seed=2; run/jobs.csv has the reasons",
    ]
