"""The first signal asks, the second one interrupts, and what was there before is put back."""

import os
import signal
import threading

import pytest

from pose.interrupts import on_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_a_ctrl_c_after_it_interrupts(number):
    before = signal.getsignal(number)
    asked = []
    with pytest.raises(KeyboardInterrupt), on_interrupt(lambda: asked.append(1)):
        signal.raise_signal(number)
        assert asked == [1]
        signal.raise_signal(signal.SIGINT)
    assert asked == [1] and signal.getsignal(number) is before


@pytest.mark.skipif(os.name == "nt", reason="raise_signal(SIGTERM) ends a process there")
def test_more_sigterms_only_ask_again():
    asked = []
    with on_interrupt(lambda: asked.append(1)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert asked == [1, 1]


def test_in_another_thread_signals_are_left_alone():
    done = []

    def work():
        with on_interrupt(lambda: None):
            done.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]
