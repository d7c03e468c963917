"""What the page of `pose app` shows once a job is done, or could not be: never a traceback."""

import base64
import copy
import html
import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.app_jobs import Result
from pose.commands.main import one_line

if TYPE_CHECKING:
    import numpy as np
    from easydict import EasyDict

    from pose.inference.predictor import Predictor

    Loaded = tuple[Predictor, EasyDict]

Job = Callable[[Path, Path], Result]
"""An upload and the folder for what becomes of it -> that."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class App:
    """What the page works with."""

    networks: Mapping[str, str]
    """Those to choose from: what the page calls them -> their name or file; the default first."""
    load: Callable[[str], "Loaded"]
    """The predictor and config of a name or file; ValueError or OSError of one line."""
    detector: str
    """What finds the people, for people."""
    folder: Path
    """Where results go; whoever made it removes it."""
    busy: threading.Lock = field(default_factory=threading.Lock)
    """Held while a job runs."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends what is being done with a video; what is done is kept."""


@dataclass(frozen=True)
class Settings:
    """What is chosen on the page, in the order of its parts."""

    network: str
    threshold: float
    smooth: bool


def loaded(app: App, settings: Settings) -> "Loaded":
    """The predictor of the network that is chosen; its config, with what is set on the page."""
    predictor, cfg = app.load(app.networks[settings.network])
    cfg = copy.deepcopy(cfg)
    cfg.predict.keypoint_threshold = settings.threshold
    cfg.predict.smoothing = "auto" if settings.smooth else "none"
    return predictor, cfg


def ask_to_stop(app: App) -> None:
    """Ends what the job that runs is at: finding poses, or drawing those that it found."""
    if app.busy.locked():
        app.stop.set()


def stop_asked(app: App) -> bool:
    """Whether that was asked for since the last time."""
    asked = app.stop.is_set()
    app.stop.clear()
    return asked


def finish(app: App) -> None:
    """Waits for the job that runs, which ends soon."""
    while not app.busy.acquire(timeout=0.1):
        app.stop.set()
    app.busy.release()


def answer(app: App, path: str | None, job: "Job") -> tuple[Any, ...]:
    """What becomes of the result, of the two download buttons and of the line below, once `job` has
    dealt with the file `path`."""
    import gradio as gr

    if path is None:
        return nothing(said("Drop a file first."))
    with app.busy:
        out = Path(tempfile.mkdtemp(dir=app.folder))
        try:
            result = job(Path(path), out)
        except Exception as error:  # `reason` logs those that are the program's own mistakes
            return nothing(wrong(reason(error, Path(path))))
        finally:
            app.stop.clear()
    downloads = [gr.DownloadButton(value=f, interactive=True) for f in (result.drawn, result.poses)]
    return result.drawn, *downloads, said(result.summary)


def nothing(line: str = "") -> tuple[Any, ...]:
    """What `answer` gives where there is no result."""
    import gradio as gr

    button = gr.DownloadButton(value=None, interactive=False)
    return None, button, button, line


def reason(error: Exception, path: Path | None = None) -> str:
    """One line about what went wrong; of the upload `path` only its name, for where it lies means
    nothing to people."""
    if not isinstance(error, ValueError | OSError | ImportError):
        logger.error("a job of the page failed", exc_info=error)
        return "This failed inside the program; the terminal that it runs in says where."
    line = one_line(error)
    return line if path is None else line.replace(str(path), path.name)


def said(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def wrong(text: str) -> str:
    return f'<p class="pose-wrong">{html.escape(text)}</p>'


def embedded(picture: "np.ndarray") -> str:
    """An image (H, W, 3) uint8 RGB as part of the page, so that it lies in no file."""
    import cv2

    from pose.images import swap_red_blue

    _, data = cv2.imencode(".jpg", swap_red_blue(picture))
    text = base64.b64encode(data.tobytes()).decode()
    return f'<img alt="The camera with poses" src="data:image/jpeg;base64,{text}">'
