"""The trunks of SimpleBaseline: torchvision's ResNets without their classifier.

Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018; the stride of
a bottleneck is in its 3x3 convolution. Tensor names are torchvision's without `fc`.
"""

from pose.models.trunk import Trunk, initialise

STRIDE = 32
CHANNELS = 2048
CLASSIFIER = {"avgpool", "fc"}


def resnet(depth: int) -> Trunk:
    """The trunk of `depth` 50, 101 or 152 layers: (B,3,H,W) to (B,2048,H/32,W/32).

    Nothing is downloaded: the weights are the published start of a network that has seen nothing.
    """
    # Imported here: loading torchvision takes a second that an HRNet has no use for.
    from torchvision import models

    network = models.get_model(f"resnet{depth}", weights=None)
    steps = {name: step for name, step in network.named_children() if name not in CLASSIFIER}
    trunk = Trunk(steps, channels=CHANNELS, stride=STRIDE)
    initialise(trunk)
    return trunk


def resnet50() -> Trunk:
    return resnet(50)


def resnet101() -> Trunk:
    return resnet(101)


def resnet152() -> Trunk:
    return resnet(152)
