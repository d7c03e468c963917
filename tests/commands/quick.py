"""A network and a run that take no time."""

from pose.build import model_of
from pose.config import load_config
from pose.models.weights import save_weights
from pose.published import described
from pose.skeleton import COCO_17

QUICK = ["data.workers=0", "model.input_size=[64, 64]", "train.epochs=1", "train.batch_size=4"]


def untrained(path, *overrides, skeleton=COCO_17):
    """Writes the weights of an untrained small network to `path`, and returns that."""
    cfg = load_config("synthetic/quickstart", overrides)
    model, _ = model_of(cfg, skeleton)
    save_weights(path, model.state_dict(), described(cfg, skeleton))
    return path
