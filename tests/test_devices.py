"""Which processor is taken, and that it is said."""

import pytest

from pose.devices import choose_device


def test_what_is_chosen_is_said_once(caplog):
    with caplog.at_level("INFO"):
        assert [choose_device("cpu").type for _ in range(3)] == ["cpu"] * 3
    assert [record.getMessage() for record in caplog.records] == ["device: cpu"]


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"^device {name}: expected auto, cpu, cuda"):
        choose_device(name)
