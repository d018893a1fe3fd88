"""The software that an LR set was made with."""

from hypothesis import given
from hypothesis import strategies as st

from dcvsr.degrade.software import told_apart, versions

software = st.dictionaries(st.sampled_from(["torch", "av", "libx264"]), st.sampled_from(["1", "2.0"]))


def test_every_version_is_known() -> None:
    """That they are known whatever else is imported shows where bicubic, which imports least, is run anew."""
    assert all(versions().values())
    assert versions()["libx264"].startswith("core ")
    assert versions()["libjpeg"].isdecimal()


@given(software, software)
def test_what_differs_is_told_and_nothing_else(there: dict[str, str], here: dict[str, str]) -> None:
    told = told_apart(there, here)
    for name in there.keys() | here.keys():
        line = f"{name} {there.get(name, 'none')} there, {here.get(name, 'none')} here"
        assert (line in told) == (there.get(name) != here.get(name))
    assert (told == "the same") == (there == here)
