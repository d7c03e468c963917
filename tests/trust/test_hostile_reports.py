"""Reports of strangers' files: what is called like markup makes the same page as what is not."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from pose.commands.main import main
from pose.images import write_image
from tests.trust.hostile_texts import coco

EVIL = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "<!--",
    "]]><svg/onload=alert(5)>",
    "</style><style>*{display:none}",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "javascript:alert(6)",
    "&lt;b&gt;\u202e\x1b[2J",
)


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and the texts between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        self.elements.append((f"/{tag}",))

    def handle_comment(self, data):
        self.elements.append(("!--",))


def page_of(command, folder, words):
    """The page of a report in which everything that has a name has one of `words`."""
    folder.mkdir()
    name = f"{words[0]}.png".replace("/", "_")
    truth = coco(name, caption=words[4], url=words[8])
    keypoints = [f"{word}{k}" for k, word in enumerate((words * 2)[:17])]
    truth["categories"][0] |= {"name": words[1], "supercategory": words[2], "keypoints": keypoints}
    truth["images"][0] |= {"coco_url": words[8], "flickr_url": words[2], "license": words[3]}
    truth["info"] = {"description": words[5]}
    (image,), (person,) = truth["images"], truth["annotations"]
    found = {"category_id": 1, "score": 0.5, "caption": words[6]}
    shifted = (np.array(person["keypoints"], float) + 1).tolist()
    numbers = range(1, 13)  # calibration wants more than a few
    truth["images"] = [{**image, "id": i, "file_name": f"{i}{name}"} for i in numbers]
    truth["annotations"] = [{**person, "id": i, "image_id": i} for i in numbers]
    for number in numbers:
        rng = np.random.default_rng(number)
        picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        write_image(folder / "images" / f"{number}{name}", picture)
    labels = folder / f"truth {words[7]}.json".replace("/", "_")
    results = folder / f"found {words[5]}.json".replace("/", "_")
    labels.write_text(json.dumps(truth))
    results.write_text(
        json.dumps([{**found, "image_id": i, "keypoints": shifted} for i in numbers])
    )
    given = {
        "diagnose": [results, "--annotations", labels, "--images", folder / "images"],
        "doctor": [labels, "--images", folder / "images"],
        "calibrate": [results, "--annotations", labels],
    }
    out = folder / "out"
    main([command, *map(str, given[command]), "--out", str(out)])
    return next(out.glob("*.html")).read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", ["diagnose", "doctor", "calibrate"])
def test_names_of_strangers_are_text_in_a_report(tmp_path, capsys, command):
    tame = Structure(page_of(command, tmp_path / "tame", ["word"] * 10))
    evil = Structure(page_of(command, tmp_path / "evil", list(EVIL)))
    assert evil.elements == tame.elements and len(tame.elements) > 50
    assert all(address.startswith(("#", "data:image/", "./", "../")) for address in evil.addresses)
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
