"""Files by their names, on stand-ins: found, fetched and verified."""

from pathlib import Path

import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.weights import registry
from dcvsr.weights.fetching import from_url
from dcvsr.weights.registry import SOURCES, WeightSource, locate

NAMES = ("net.bin", "net.param")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server with two files that come together; this machine's own caches are out of sight."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("DCVSR_WEIGHTS", str(tmp_path / "configured"))
    folder = tmp_path / "server"
    for each in (folder, tmp_path / "configured"):
        each.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"what {name} holds")

    def fetch(names: dict[str, str], target: Path) -> None:
        for name in names:
            from_url((folder / name).as_uri(), target)

    digests = {name: file_sha256(folder / name) for name in NAMES}
    monkeypatch.setattr(registry, "SOURCES", [WeightSource("https://a.server/net", digests, fetch)])
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "torch/hub/checkpoints"


def test_a_file_is_taken_where_it_is(tmp_path: Path, server: Path) -> None:
    (tmp_path / "mine.pth").touch()
    assert locate(f"{tmp_path}/mine.pth") == tmp_path / "mine.pth"


def test_a_downloaded_file_is_found_later(server: Path, cache: Path) -> None:
    assert locate("net.bin") == cache / "net.bin"
    assert sorted(path.name for path in cache.iterdir()) == sorted(NAMES)
    for name in NAMES:
        (server / name).unlink()
    assert locate("net.param").read_text() == "what net.param holds"


def test_the_configured_folder_comes_before_the_cache(server: Path, cache: Path, tmp_path: Path) -> None:
    locate("net.bin")
    ours = (cache / "net.bin").rename(tmp_path / "configured/net.bin")
    (cache / "net.bin").write_text("damaged")
    assert locate("net.bin") == ours


@pytest.mark.parametrize("damaged", NAMES)
def test_a_damaged_file_is_refused_and_so_is_one_whose_companion_is(
    server: Path, cache: Path, damaged: str
) -> None:
    locate("net.bin")
    (cache / damaged).write_text("damaged")
    with pytest.raises(UserError, match=rf"{damaged}: expected SHA-256 \w+, found .*; remove the file"):
        locate("net.bin")


def test_a_cut_off_download_leaves_nothing_behind(server: Path, cache: Path) -> None:
    (server / "net.param").write_text("what net")
    with pytest.raises(UserError, match=r"net.param: expected SHA-256"):
        locate("net.bin")
    assert not list(cache.iterdir())


def test_a_file_that_cannot_be_had_is_named_in_one_line_with_the_way_out(server: Path, cache: Path) -> None:
    (server / "net.bin").unlink()
    with pytest.raises(UserError) as refusal:
        locate("net.bin")
    message = str(refusal.value)
    assert "\n" not in message
    for part in ("net.bin", "configured", str(cache), "No such file", "from https://a.server/net"):
        assert part in message


def test_an_unknown_name_is_refused_with_the_known_ones(server: Path) -> None:
    with pytest.raises(UserError, match=r"no weight file nte.bin; give a path, or one of net.bin$"):
        locate("nte.bin")


def test_no_two_sources_share_a_name_and_digests_are_whole_or_in_the_name() -> None:
    files = [(name, digest) for source in SOURCES for name, digest in source.digests.items()]
    assert len(dict(files)) == len(files)
    assert all(len(digest) == 64 or Path(name).stem.endswith(f"-{digest}") for name, digest in files)
