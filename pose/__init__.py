"""Top-down human pose estimation: from people in boxes to keypoints in image pixels.

Importing the package loads nothing heavy; its modules are imported by name (`pose.geometry`,
`pose.skeleton`, ...). Pictures are RGB throughout, boxes are xyxy in absolute image pixels.
"""

__version__ = "0.1.0"
