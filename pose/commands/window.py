"""A window that shows pictures as they are drawn."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

TITLE = "pose (q ends it)"
KEYS_THAT_END = (ord("q"), 27)


@contextmanager
def show_window(wanted: bool) -> Iterator[Callable[[np.ndarray], bool]]:
    """A function that shows an RGB picture and says whether to go on: not once q, Esc or the
    window's own button was pressed. Where no window is wanted it always says yes.

    ValueError where there is no screen.
    """
    if not wanted:
        yield lambda picture: True
        return
    # Without a display OpenCV's window library ends the whole process.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise ValueError("--show: there is no screen here; leave it out, the pictures are written")
    import cv2

    def show(picture: np.ndarray) -> bool:
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF in KEYS_THAT_END:
            return False
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) > 0

    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        yield show
    except cv2.error as error:
        raise ValueError(f"--show: no window can be opened here ({error.err})") from None
    finally:
        cv2.destroyAllWindows()
