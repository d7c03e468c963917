"""Two million people: parsed once, then opened in seconds, the columns shared by all processes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pose.skeleton import COCO_17

SECONDS, BYTES = 10, 2e9
COUNTS = [
    2_000,
    pytest.param(50_000, marks=pytest.mark.slow),
    pytest.param(2_000_000, marks=pytest.mark.soak),
]

OPEN = """
import json, os, re, sys, time
from pathlib import Path

def of(name, process="self"):
    text = Path(f"/proc/{process}/smaps_rollup" if "Private" in name else "/proc/self/status")
    return sum(int(n) for n in re.findall(rf"{name}:\\s+(\\d+) kB", text.read_text())) * 1024

from pose.build_data import FORMATS
from pose.data import columns
columns.LARGE = 1
start, worked = time.perf_counter(), time.process_time()
people = FORMATS["coco"].load(Path(sys.argv[1]), None, "published")
seconds, worked = time.perf_counter() - start, time.process_time() - worked
peak = of("VmHWM")
private = []
for _ in range(4):
    into, out = os.pipe()
    if os.fork() == 0:
        before = of("Private_Dirty") + of("Private_Clean")
        total = sum(float(people.keypoints[i].sum()) for i in range(0, len(people), 7))
        total += float(people.boxes.sum() + people.areas.sum()) + len(people[3].image)
        used = of("Private_Dirty") + of("Private_Clean") - before
        os.write(out, str(used).encode())
        os._exit(0)
    private.append(int(os.read(into, 99)))
    os.wait()
found = {"seconds": seconds, "worked": worked, "peak": peak, "private": private}
print(json.dumps({**found, "people": len(people)}))
"""


def write_people(path: Path, count: int) -> None:
    """An annotation file of `count` people, about four an image, written as it is made."""
    rng = np.random.default_rng(0)
    bodies = []
    for _ in range(500):
        triplets = np.column_stack([rng.uniform(5, 600, (17, 2)).round(1), rng.integers(0, 3, 17)])
        triplets[0, 2] = 2
        box = [*rng.uniform(0, 200, 2).round(2).tolist(), *rng.uniform(50, 400, 2).round(2)]
        body = {"keypoints": triplets.ravel().tolist(), "bbox": box, "area": round(box[2] * 90, 2)}
        bodies.append(json.dumps(body | {"category_id": 1, "iscrowd": 0})[1:])
    category = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}
    with path.open("w") as file:
        file.write(f'{{"categories": [{json.dumps(category)}], "images": [')
        for i in range(count // 4 + 1):
            image = {"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 640}
            file.write(f"{',' if i else ''}{json.dumps(image)}")
        file.write('], "annotations": [')
        for i in range(count):
            comma = "," if i else ""
            file.write(f'{comma}{{"id": {i + 1}, "image_id": {i // 4}, {bodies[i % 500]}')
        file.write("]}")


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="memory is Linux's to tell"
)
@pytest.mark.parametrize("count", COUNTS)
def test_people_are_parsed_once_and_then_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("POSE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "people.json"
    write_people(path, count)
    first, second = (measured(path) for _ in range(2))
    megabytes = path.stat().st_size / 1e6
    print(f"\n{count} people, {megabytes:.0f} MB: first {first}, then {second}")
    assert first["people"] == second["people"] == count
    # what the processor worked, so that whatever else a machine does is left out
    assert second["worked"] < SECONDS and second["peak"] < BYTES
    # each worker reads all columns, a few hundred bytes a person, and keeps none of them
    assert max(second["private"]) < 20e6


def measured(path: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, path], capture_output=True, text=True, timeout=3000, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
