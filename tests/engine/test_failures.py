"""Each known failure is told in one line, and nothing else is mistaken for one."""

import pytest
import torch

from pose.engine.failures import batches_of, plain_line

LINES = {
    "DataLoader worker (pid(s) 12, 13) exited unexpectedly": "(pid 12, 13 exited unexpectedly)",
    "DataLoader worker (pid 7) is killed by signal: Killed. ": "(pid 7 is killed by signal: Kil",
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory. Please try to raise your shared memory limit.": "--shm-size",
    "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call "
    "last):\n ...\nRuntimeError: unable to write to file </torch_11_22>": "no shared memory left",
    "[/__w/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:8081. This is "
    "typically caused by a remote worker crashing.": "(Connection closed by peer [127.0.0.1]:8081)",
}


@pytest.mark.parametrize("text", LINES)
def test_what_torch_says_becomes_one_line(text):
    line = plain_line(RuntimeError(text))
    assert LINES[text] in line and "\n" not in line


def test_full_memory_of_a_device_names_the_keys():
    assert "train.parts" in plain_line(torch.OutOfMemoryError("CUDA out of memory. Tried to"))


@pytest.mark.parametrize("text", ["", "mat1 and mat2 shapes cannot be multiplied", "the globe"])
def test_what_is_not_known_is_left_as_it_is(text):
    assert plain_line(RuntimeError(text)) == ""


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), EOFError()])
def test_a_connection_that_breaks_is_a_process_that_died(error):
    def broken():
        yield 1
        raise error

    found = batches_of(broken())
    assert next(found) == 1
    with pytest.raises(RuntimeError) as raised:
        next(found)
    assert "a process that reads data has died" in plain_line(raised.value)
