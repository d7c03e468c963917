"""A small made set without a fault, and the faults that are planted in a set, each in an entry of
its own."""

import json
from pathlib import Path

import cv2
import numpy as np

from pose.images import write_image
from pose.skeleton import COCO_17, skeleton_to_category

STANDING = np.array([
    *((0, -70), (6, -76), (-6, -76), (14, -73), (-14, -73), (22, -45), (-22, -45), (30, -15)),
    *((-31, -14), (33, 12), (-34, 11), (14, 10), (-14, 10), (15, 52), (-16, 51), (16, 92)),
    (-15, 93),
], float)  # fmt: skip
"""COCO's 17, seen from the front; y points down."""

SIZE = (320, 240)


def write_set(folder, num_images=6, seed=0):
    """A set of two people an image in COCO's layout; its annotations and its folder of images."""
    rng = np.random.default_rng(seed)
    category = skeleton_to_category(COCO_17) | {"name": "person"}
    dataset = {"images": [], "annotations": [], "categories": [category]}
    for number in range(1, num_images + 1):
        add_image(dataset, folder, rng, number)
        for place in (80, 225):
            scale = rng.uniform(0.7, 1.0)
            points = STANDING * scale + (place, 110) + rng.normal(0, 1.0, STANDING.shape)
            add_person(dataset, number, points)
    return dataset


def add_image(dataset, folder, rng, image_id):
    """Clouds, of which no two are alike."""
    name = f"{len(dataset['images']):04}.jpg"
    clouds = rng.integers(0, 255, (9, 12, 3)).astype(np.uint8)
    write_image(folder / name, cv2.resize(clouds, SIZE, interpolation=cv2.INTER_CUBIC))
    entry = {"id": image_id, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
    dataset["images"].append(entry)
    return entry


def add_person(dataset, image_id, points):
    low, high = points.min(axis=0) - 6, points.max(axis=0) + 6
    box = [float(v) for v in (*low, *(high - low))]
    annotation = {
        "id": max((a["id"] for a in dataset["annotations"]), default=100) + 1,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": np.column_stack([points, np.full(len(points), 2)]).ravel().tolist(),
        "num_keypoints": len(points),
        "bbox": box,
        "area": 0.6 * box[2] * box[3],
        "iscrowd": 0,
    }
    dataset["annotations"].append(annotation)
    return annotation


def detections_of(dataset):
    return [
        {"image_id": a["image_id"], "category_id": 1, "bbox": list(a["bbox"]), "score": 0.9}
        for a in dataset["annotations"]
    ]


class Garden:
    """A set on disk in which faults are planted. Each takes a person, or an image, of its own."""

    def __init__(self, dataset, images: Path, other: Path):
        self.dataset, self.images, self.other = dataset, images, other
        self.detections = detections_of(dataset)
        self.others = {**dataset, "images": [], "annotations": []}
        self.rng = np.random.default_rng(5)
        sizes = {image["id"]: (image["width"], image["height"]) for image in dataset["images"]}
        self.free = [
            place for place, a in enumerate(dataset["annotations"])
            if not a.get("iscrowd") and a["num_keypoints"] >= 10
            and {2, 5, 6, 11, 12} <= set(np.flatnonzero(self.points(a)[:, 2]))
            and min(a["bbox"][2:]) > 25
            and 2 * a["bbox"][0] + a["bbox"][2] > sizes[a["image_id"]][0] + 10
        ]  # fmt: skip
        self.free_images = list(range(len(dataset["images"])))[::-1]

    @staticmethod
    def points(annotation):
        return np.array(annotation["keypoints"], float).reshape(-1, 3)

    def person(self):
        """A person and what the doctor calls it."""
        place = self.free.pop()
        return self.dataset["annotations"][place], f"annotation {place}"

    def image(self):
        place = self.free_images.pop()
        return self.dataset["images"][place], f"images[{place}]"

    def new_person(self, annotation, **changes):
        """A copy with an id of its own."""
        new_id = max(a["id"] for a in self.dataset["annotations"] if "id" in a) + 1
        self.dataset["annotations"].append(
            json.loads(json.dumps(annotation)) | {"id": new_id} | changes
        )
        return f"annotation {len(self.dataset['annotations']) - 1}"

    def new_image(self, name, **changes):
        """An entry of a picture `name`, which is to be there."""
        new_id = max(i["id"] for i in self.dataset["images"]) + 1
        height, width = cv2.imread(str(self.images / name)).shape[:2]
        entry = {"id": new_id, "file_name": name, "width": width, "height": height} | changes
        self.dataset["images"].append(entry)
        return f"images[{len(self.dataset['images']) - 1}]"

    def picture(self, name="new.png"):
        """A picture that is no other's."""
        name = f"{len(list(self.images.iterdir()))}-{name}"
        clouds = self.rng.integers(0, 255, (9, 12, 3)).astype(np.uint8)
        write_image(self.images / name, cv2.resize(clouds, SIZE, interpolation=cv2.INTER_CUBIC))
        return name

    def move(self, annotation, keypoint, point, visibility=2):
        """Puts a labelled keypoint elsewhere."""
        values = self.points(annotation)
        values[keypoint] = (*point, visibility)
        annotation["keypoints"] = values.ravel().tolist()
        annotation["num_keypoints"] = int((values[:, 2] > 0).sum())

    def size_of(self, annotation):
        image = next(i for i in self.dataset["images"] if i["id"] == annotation["image_id"])
        return image["width"], image["height"]

    def save(self):
        """Writes all files; the paths of labels, the other split's labels, and detections."""
        paths = []
        for name in ("dataset", "others", "detections"):
            paths.append(self.images.parent / f"{name}.json")
            paths[-1].write_text(json.dumps(getattr(self, name)))
        return paths


PLANTS = {}
"""Kind of finding -> what plants it in a garden and returns where it is."""


def plant(kind):
    def keep(function):
        assert kind not in PLANTS
        PLANTS[kind] = function
        return function

    return keep


@plant("malformed entry")
def _(garden):
    person, where = garden.person()
    del person["bbox"]
    return where


@plant("wrong number of keypoint values")
def _(garden):
    person, where = garden.person()
    person["keypoints"] = person["keypoints"][:-3]
    return where


@plant("visibility not 0, 1 or 2")
def _(garden):
    person, where = garden.person()
    person["keypoints"][2] = 3
    return where


@plant("duplicate image id")
def _(garden):
    image, _ = garden.image()
    return garden.new_image(garden.picture(), id=image["id"])


@plant("duplicate annotation id")
def _(garden):
    person, _ = garden.person()
    other, _ = garden.person()
    other["id"] = person["id"]
    # The later one of the two is told.
    places = [p for p, a in enumerate(garden.dataset["annotations"]) if a.get("id") == other["id"]]
    return f"annotation {max(places)}"


@plant("duplicate category id")
def _(garden):
    garden.dataset["categories"].append({"id": 1, "name": "dog"})
    return f"categories[{len(garden.dataset['categories']) - 1}]"


@plant("annotation id 0")
def _(garden):
    person, where = garden.person()
    person["id"] = 0
    return where


@plant("annotation of an unknown image")
def _(garden):
    return garden.new_person(garden.dataset["annotations"][0], image_id=987_654)


@plant("annotation of an unknown category")
def _(garden):
    person, where = garden.person()
    person["category_id"] = 77
    return where


@plant("category mistake")
def _(garden):
    garden.dataset["categories"][0]["skeleton"].append([1, 99])
    return "categories[0]"


@plant("box without size")
def _(garden):
    person, where = garden.person()
    person["bbox"][2] = 0
    return where


@plant("box outside the image")
def _(garden):
    person, where = garden.person()
    person["bbox"][0] += 5000
    return where


@plant("box in the form x1, y1, x2, y2")
def _(garden):
    person, where = garden.person()
    x, y, width, height = person["bbox"]
    person["bbox"] = [x, y, x + width, y + height]
    return where


@plant("box holds none of its keypoints")
def _(garden):
    person, where = garden.person()
    person["bbox"][:] = [0, 0, 12, 12]
    return where


@plant("area 0 or below")
def _(garden):
    person, where = garden.person()
    person["area"] = 0
    return where


@plant("seen keypoint outside the image")
def _(garden):
    person, where = garden.person()
    garden.move(person, 5, (garden.size_of(person)[0] + 9, 20))
    return where


@plant("num_keypoints wrong")
def _(garden):
    person, where = garden.person()
    person["num_keypoints"] -= 4
    return where


@plant("the same person twice")
def _(garden):
    person, _ = garden.person()
    return garden.new_person(person)


@plant("missing image")
def _(garden):
    image, where = garden.image()
    (garden.images / image["file_name"]).unlink()
    return where


@plant("unreadable image")
def _(garden):
    image, where = garden.image()
    (garden.images / image["file_name"]).write_text("<html>404</html>")
    return where


@plant("cut image")
def _(garden):
    image, where = garden.image()
    path = garden.images / image["file_name"]
    path.write_bytes(path.read_bytes()[:-200])
    return where


@plant("image of another size")
def _(garden):
    image, where = garden.image()
    image["width"], image["height"] = image["width"] + 300, image["height"] + 300
    return where


@plant("image of the other split")
def _(garden):
    image, where = garden.image()
    data = (garden.images / image["file_name"]).read_bytes()
    (garden.other / "other.jpg").write_bytes(data)
    garden.others["images"].append({**image, "id": 7, "file_name": "other.jpg"})
    return where


@plant("malformed detection")
def _(garden):
    garden.detections.append({"image_id": 1, "bbox": [0, 0, 5, 5]})
    return f"detection {len(garden.detections) - 1}"


def _detection(garden, **changes):
    garden.detections.append({**garden.detections[0], **changes})
    return f"detection {len(garden.detections) - 1}"


@plant("detections in unknown images")
def _(garden):
    return _detection(garden, image_id=987_654)


@plant("detection without size")
def _(garden):
    return _detection(garden, bbox=[10, 10, 0, 30])


@plant("detection outside its image")
def _(garden):
    return _detection(garden, bbox=[4000, 10, 20, 30])


@plant("detection score below 0")
def _(garden):
    return _detection(garden, score=-0.5)


@plant("several categories with keypoints")
def _(garden):
    garden.dataset["categories"].append({"id": 5, "name": "cat", "keypoints": ["tail"]})
    return f"categories[{len(garden.dataset['categories']) - 1}]"


@plant("box beyond the image")
def _(garden):
    person, where = garden.person()
    width, height = garden.size_of(person)
    # Too large to be mistaken for corners.
    person["bbox"][2:] = [3 * width, 3 * height]
    return where


@plant("keypoints far outside the box")
def _(garden):
    person, where = garden.person()
    x, y, width, height = person["bbox"]
    person["bbox"] = [x, y, width, height / 3]
    person["area"] /= 4
    return where


@plant("box far larger than its keypoints")
def _(garden):
    person, where = garden.person()
    values = garden.points(person)
    middle = values[values[:, 2] > 0, :2].mean(axis=0)
    values[:, :2] = (values[:, :2] - middle) * 0.15 + middle
    person["keypoints"] = values.ravel().tolist()
    return where


@plant("area larger than the box")
def _(garden):
    person, where = garden.person()
    person["area"] = 2 * person["bbox"][2] * person["bbox"][3]
    return where


@plant("area far below the box")
def _(garden):
    person, where = garden.person()
    person["area"] = person["bbox"][2] * person["bbox"][3] / 500
    return where


@plant("hidden keypoint outside the image")
def _(garden):
    person, where = garden.person()
    garden.move(person, 6, (20, -30), visibility=1)
    return where


@plant("keypoints without visibility")
def _(garden):
    person, where = garden.person()
    person["keypoints"][2::3] = [0] * 17
    return where


@plant("keypoint at 0, 0")
def _(garden):
    person, where = garden.person()
    garden.move(person, 11, (0, 0))
    return where


@plant("left and right look exchanged")
def _(garden):
    while True:
        person, where = garden.person()
        values = garden.points(person)
        across = np.abs(values[[5, 11], 0] - values[[6, 12], 0]).min()
        if across > 0.35 * np.ptp(values[[5, 6, 11, 12], 1]) and values[[5, 6, 11, 12], 2].all():
            break
    values[[5, 6]] = values[[6, 5]]
    person["keypoints"] = values.ravel().tolist()
    return where


@plant("nearly the same person twice")
def _(garden):
    person, _ = garden.person()
    values = garden.points(person)
    values[:, :2] += (values[:, 2:] > 0) * 1.0
    return garden.new_person(person, keypoints=values.ravel().tolist())


@plant("the same box twice")
def _(garden):
    person, _ = garden.person()
    return garden.new_person(person, keypoints=[0] * 51, num_keypoints=0)


@plant("file name twice")
def _(garden):
    image, _ = garden.image()
    return garden.new_image(image["file_name"])


@plant("the same image twice")
def _(garden):
    image, _ = garden.image()
    (garden.images / "copy.jpg").write_bytes((garden.images / image["file_name"]).read_bytes())
    return garden.new_image("copy.jpg")


def _alike(garden, folder, name):
    """Of another size, brightness and compression."""
    image, where = garden.image()
    picture = cv2.imread(str(garden.images / image["file_name"]))
    smaller = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    paler = np.clip(smaller * 0.9 + 20, 0, 255).astype(np.uint8)
    write_image(folder / name, paler[..., ::-1].copy(), quality=70)
    return where


@plant("nearly the same image")
def _(garden):
    _alike(garden, garden.images, "alike.jpg")
    return garden.new_image("alike.jpg")


@plant("nearly an image of the other split")
def _(garden):
    where = _alike(garden, garden.other, "alike.jpg")
    garden.others["images"].append({"id": 8, "file_name": "alike.jpg"})
    return where


@plant("blank image")
def _(garden):
    write_image(garden.images / "grey.png", np.full((60, 80, 3), 128, np.uint8))
    return garden.new_image("grey.png")


@plant("person without keypoints")
def _(garden):
    person, where = garden.person()
    person |= {"keypoints": [0] * 51, "num_keypoints": 0}
    return where


@plant("image id 0")
def _(garden):
    return garden.new_image(garden.picture(), id=0)


@plant("category id 0")
def _(garden):
    garden.dataset["categories"].append({"id": 0, "name": "bird"})
    return f"categories[{len(garden.dataset['categories']) - 1}]"


@plant("size not stated")
def _(garden):
    where = garden.new_image(garden.picture())
    del garden.dataset["images"][-1]["width"]
    return where


@plant("num_keypoints missing")
def _(garden):
    person, where = garden.person()
    del person["num_keypoints"]
    return where


@plant("image without detections")
def _(garden):
    person, _ = garden.person()
    own = person["image_id"]
    elsewhere = garden.dataset["annotations"][0]["image_id"]
    assert own != elsewhere
    for detection in garden.detections:
        if detection["image_id"] == own:
            detection["image_id"] = elsewhere
    return f"images[{[i['id'] for i in garden.dataset['images']].index(own)}]"


@plant("file not listed")
def _(garden):
    garden.picture("stray.jpg")
    return garden.images.name
