"""Tests of the software versions in a manifest."""

from hypothesis import given
from hypothesis import strategies as st

from dcvsr.degrade.software import version_differences, versions

software = st.dictionaries(st.sampled_from(["torch", "av", "libx264"]), st.sampled_from(["1", "2.0"]))


def test_every_version_is_found() -> None:
    """tests/test_degrade.py checks with degradation=bicubic that no other import is needed."""
    assert all(versions().values())
    assert versions()["libx264"].startswith("core ")
    assert versions()["libjpeg"].isdecimal()


@given(software, software)
def test_exactly_the_differing_versions_are_listed(there: dict[str, str], here: dict[str, str]) -> None:
    differences = version_differences(there, here)
    for name in there.keys() | here.keys():
        line = f"{name} {there.get(name, 'none')} in the manifest, {here.get(name, 'none')} here"
        assert (line in differences) == (there.get(name) != here.get(name))
    assert (differences == "the same") == (there == here)
