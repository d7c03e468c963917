"""A stage made ahead gives what it would give alone, and never more than its bound ahead."""

import gc
import threading
import time

import pytest

from pose.inference.pipeline import StageTimes, ahead
from tests.patience import HANG_SECONDS


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_the_items_are_the_same(count):
    assert list(ahead(range(count), depth=3)) == list(range(count))
    assert list(ahead(ahead(iter(range(count)), depth=1), depth=2)) == list(range(count))


def test_it_is_no_further_ahead_than_told():
    made, taken = [], []

    def make():
        for item in range(50):
            made.append(item)
            yield item

    for item in ahead(make(), depth=4):
        taken.append(item)
        time.sleep(0.002)
        # one in the reader's hands, four waiting, one made and not yet put
        assert len(made) - len(taken) <= 5
    assert made == taken == list(range(50))


def test_stages_overlap():
    """The next item is made while the reader still works on this one."""
    made = [threading.Event() for _ in range(5)]

    def make():
        for item, event in enumerate(made):
            event.set()
            yield item

    for item in ahead(make(), depth=1):
        if item + 1 < len(made):
            assert made[item + 1].wait(HANG_SECONDS), "nothing is made while the reader works"


def test_an_error_comes_where_its_item_would_have():
    def breaks():
        yield 1
        yield 2
        raise ValueError("the third")

    stream = ahead(breaks())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(stream)


def test_a_reader_that_leaves_ends_the_thread():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    stream = ahead(ahead(endless(), depth=2), depth=2)
    next(stream)
    stream.close()
    assert closed.wait(HANG_SECONDS)
    assert threading.active_count() == before
    stream = ahead(endless(), depth=2)
    next(stream)
    del stream
    gc.collect()
    assert threading.active_count() == before


def test_times_are_those_of_the_stage():
    def slow():
        for item in range(5):
            time.sleep(0.01)
            yield item

    times = StageTimes()
    assert times.call("wait", lambda seconds: time.sleep(seconds) or "done")(0.03) == "done"
    assert 0.03 <= times.seconds["wait"] <= times.elapsed()
    for _ in times.of("read", slow()):
        time.sleep(0.01)
    assert 0.05 <= times.seconds["read"] <= times.elapsed() - 0.05
