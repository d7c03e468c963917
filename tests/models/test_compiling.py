"""What a warm-up makes faster gives the same maps, for any number of images, and says what it took;
where it cannot, it says why in one line."""

import logging
import os
import subprocess
import sys
import threading

import pytest
import torch

from pose.models.compiling import Graphs, can_compile, warmed_up
from pose.models.folding import for_inference
from tests.models.test_pose_model import awake_model, random_images

CPU, SIZE = torch.device("cpu"), (64, 64)


def small(device=CPU):
    return for_inference(awake_model("hrnet_small")).to(device)


def same_maps(network, warm, device, numbers):
    for number in numbers:
        images = random_images(number, SIZE).to(device)
        with torch.inference_mode():
            expected, found = network(images), warm(images)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_without_the_key_the_network_is_the_same():
    network = torch.nn.Identity()
    assert warmed_up(network, "none", CPU, SIZE, (2, 16)) is network


def test_graphs_need_a_gpu():
    with pytest.raises(ValueError, match=r"^test\.compile=cudagraphs: needs a CUDA GPU, this runs"):
        warmed_up(torch.nn.Identity(), "cudagraphs", CPU, SIZE, (2, 16))


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_maps_and_compiles_no_more(caplog):
    if not can_compile(CPU):
        pytest.skip("no C++ compiler here")
    network = small()
    torch._dynamo.utils.counters.clear()
    with caplog.at_level(logging.INFO, logger="pose"):
        warm = warmed_up(network, "compile", CPU, SIZE, (2, 16))
    (line,) = [r.getMessage() for r in caplog.records if r.name.startswith("pose.")]
    assert line.startswith("network: compile, warmed up in ") and line.endswith(" s")
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert compiled >= 1
    same_maps(network, warm, CPU, (16, 2, 6, 14, 4))
    # as a loader brings them, as pictures are, and with a history of gradients
    images = random_images(6, SIZE)
    for laid in (images.contiguous(memory_format=torch.channels_last), images.clone()):
        warm(laid)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled


@pytest.mark.slow
def test_a_missing_compiler_is_one_line(tmp_path):
    program = (
        "import torch\n"
        "from pose.models.compiling import can_compile, warmed_up\n"
        "cpu = torch.device('cpu')\n"
        "assert not can_compile(cpu)\n"
        "network = torch.nn.Hardtanh()\n"
        "try:\n"
        "    warmed_up(network, 'compile', cpu, (8, 8), (2,))\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    environment = {
        **os.environ,
        "CXX": "no-such-compiler",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    (line,) = result.stdout.splitlines()
    assert line.startswith("test.compile=compile: torch cannot do it here (")
    assert line.endswith("; install a C++ compiler (g++ or clang), or leave the key out")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_graphs_give_the_same_maps_for_any_number_of_images():
    device = torch.device("cuda")
    network = small(device)
    warm = warmed_up(network, "cudagraphs", device, SIZE, (2, 16))
    same_maps(network, warm, device, (1, 2, 3, 16, 5, 16, 2, 40))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_threads_share_graphs():
    device = torch.device("cuda")
    network = small(device)
    warm = Graphs(network)
    wrong = []

    def work(number):
        images = random_images(number + 1, SIZE).to(device)
        with torch.inference_mode():
            expected = network(images)
            for _ in range(20):
                if (warm(images) - expected).abs().max() > 1e-4 * expected.abs().max():
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
