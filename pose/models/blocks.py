"""The two residual blocks that HRNet is made of; tensor names are those of the published files."""

import torch.nn.functional as F
from torch import Tensor, nn

from pose.models.trunk import batch_norm, conv


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input passes: (B,C,H,W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(channels, channels, 3), batch_norm(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class Bottleneck(nn.Module):
    """1x1 down to `width`, 3x3, 1x1 up to `4 * width`: (B,inputs,H,W) to (B,4*width,H,W).

    Where the numbers of channels differ a 1x1 convolution carries the input across.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = conv(inputs, width, 1), batch_norm(width)
        self.conv2, self.bn2 = conv(width, width, 3), batch_norm(width)
        self.conv3, self.bn3 = conv(width, outputs, 1), batch_norm(outputs)
        self.downsample = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(conv(inputs, outputs, 1), batch_norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)
