"""The page of `pose app`: what is on it and what its buttons do."""

import base64
import html
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.app_answers import (
    App,
    Settings,
    answer,
    ask_to_stop,
    embedded,
    loaded,
    nothing,
    reason,
    said,
    stop_asked,
    wrong,
)
from pose.commands.app_jobs import (
    MAX_SECONDS,
    Follower,
    Result,
    frame_job,
    picture_job,
    video_job,
)

if TYPE_CHECKING:
    import gradio
    import numpy as np

    from pose.commands.app_answers import Loaded

MAX_MEGABYTES = 500
"""Of an upload."""

FRAME_SECONDS = 0.2
"""At least so much passes between two frames of the camera."""

WAITING_JOBS = 8
PANEL: dict[str, Any] = {"height": 460, "min_width": 320}
"""Size of a picture on the page, in pixels; two beside each other, or one below the other."""

# gradio's scissors fetch a program from another machine, which the page forbids.
CSS = """
[aria-label="Trim video to selection"] {display: none}
input[aria-label="Network"] {padding-right: 2em; text-overflow: ellipsis}
.pose-line {min-height: 1.5em}
.pose-wrong {color: var(--error-text-color); font-weight: 600}
.pose-frame img {width: 100%}
"""


def build_page(app: App) -> "gradio.Blocks":
    """The page, ready to be served."""
    import gradio as gr

    from pose.inference.predict import own_threshold

    first = next(iter(app.networks))
    predictor, cfg = app.load(app.networks[first])
    shown_from = own_threshold(predictor.runtime, cfg.predict.keypoint_threshold)
    with gr.Blocks(title="pose", analytics_enabled=False) as page:
        gr.HTML(heading(app.detector))
        with gr.Row():
            network = gr.Dropdown(
                list(app.networks),
                value=first,
                label="Network",
                info="Published ones are downloaded when first used.",
            )
            threshold = gr.Slider(
                0,
                1,
                round(shown_from, 4),
                step=0.05,
                label="Keypoint threshold",
                info="Keypoints up to this score of the network are not drawn.",
            )
            smooth = gr.Checkbox(
                cfg.predict.smoothing != "none",
                label="Smoothing",
                info="Of movement, in videos and on the webcam.",
            )
        for name, tab in {"Image": picture_tab, "Video": video_tab, "Webcam": camera_tab}.items():
            with gr.Tab(name):
                tab(app, [network, threshold, smooth])
    page.queue(api_open=False, max_size=WAITING_JOBS)
    return page


def as_chosen(app: App, *chosen: Any) -> "Loaded":
    """What `loaded` gives; the page's threshold, a score as networks give it, becomes what it is
    worth, so that it means the same for every network."""
    predictor, cfg = loaded(app, Settings(*chosen))
    if calibration := predictor.runtime.calibration:
        threshold = float(calibration.keypoints(cfg.predict.keypoint_threshold))
        cfg.predict.keypoint_threshold = threshold
    return predictor, cfg


def heading(detector: str) -> str:
    return (
        "<h1>pose</h1><p>Finds the people in pictures and videos and draws their poses. What you "
        "drop here does not leave this machine, and is deleted when the program ends.<br>"
        f"Detector: {html.escape(detector)}. At most {MAX_MEGABYTES} MB a file and {MAX_SECONDS} "
        "seconds a video.</p>"
    )


def picture_tab(app: App, settings: list[Any]) -> None:
    import gradio as gr

    with gr.Row():
        source = gr.Image(type="filepath", label="Image", webcam_options=as_it_is(), **PANEL)
        take_uploads(source)
        drawn = gr.Image(label="Poses", interactive=False, **PANEL, buttons=["fullscreen"])
    with gr.Row():
        start = gr.Button("Find poses", variant="primary", scale=2)
        downloads = download_buttons("image")
    line = gr.HTML(elem_classes="pose-line")

    def find(path: str | None, *chosen: Any) -> tuple[Any, ...]:
        def job(path: Path, out: Path) -> Result:
            return picture_job(*as_chosen(app, *chosen), path, out)

        return answer(app, path, job)

    given = [source, *settings]
    gr.on([start.click, source.input], find, given, [drawn, *downloads, line], **one_job_for(drawn))


def video_tab(app: App, settings: list[Any]) -> None:
    import gradio as gr

    with gr.Row():
        source = gr.Video(label="Video", webcam_options=as_it_is(), **PANEL)
        take_uploads(source)
        drawn = gr.Video(label="Poses", interactive=False, **PANEL, buttons=[])
    with gr.Row():
        start = gr.Button("Find poses", variant="primary", scale=2)
        stop = gr.Button("Stop")
        downloads = download_buttons("video")
    line = gr.HTML(elem_classes="pose-line")

    def find(
        path: str | None,
        *chosen: Any,
        progress: "gradio.Progress" = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        context = copy_context()  # by which gradio knows whose progress it is, in every thread

        def go_on(stage: str, done: int, of: int | None) -> bool:
            context.copy().run(progress, (done, of), desc=stage, unit="frames")
            return not stop_asked(app)

        def job(path: Path, out: Path) -> Result:
            return video_job(*as_chosen(app, *chosen), path, out, go_on)

        return answer(app, path, job)

    given, results = [source, *settings], [drawn, *downloads, line]
    start.click(find, given, results, **one_job_for(drawn))
    stop.click(partial(ask_to_stop, app), queue=False, api_visibility="private")
    source.input(nothing, None, results, queue=False, api_visibility="private")


def camera_tab(app: App, settings: list[Any]) -> None:
    import gradio as gr

    with gr.Row():
        camera = gr.Image(
            sources="webcam",
            streaming=True,
            label="Camera",
            webcam_options=as_it_is(),
            **PANEL,
        )
        use_own_reader(camera, camera_frame)
        drawn = gr.HTML(
            label="Poses",
            show_label=True,
            container=True,
            min_height=PANEL["height"],
            min_width=PANEL["min_width"],
            elem_classes="pose-frame",
        )
    line = gr.HTML(elem_classes="pose-line")

    follower = gr.State()

    def find(image: "np.ndarray | None", known: Any, *chosen: Any) -> tuple[str, str, Any]:
        if image is None:
            return "", "", known
        try:
            predictor, cfg = as_chosen(app, *chosen)
            if known is None or known[0] != chosen:
                look = predictor if cfg.predict.smoothing == "none" else Follower(predictor, cfg)
                known = chosen, look
            picture, summary = frame_job(known[1], cfg, image)
        except Exception as error:  # `reason` logs those that are the program's own mistakes
            return "", wrong(reason(error)), known
        return embedded(picture), said(summary), known

    camera.stream(
        find,
        [camera, follower, *settings],
        [drawn, line, follower],
        stream_every=FRAME_SECONDS,
        show_progress="hidden",
        api_visibility="private",
    )


def camera_frame(payload: Any) -> "np.ndarray | None":
    """(H, W, 3) uint8 RGB of what the browser sends of its camera."""
    from pose.commands.app_decoding import check_size
    from pose.image_headers import read_header
    from pose.images import decode_image

    if payload is None:
        return None
    data = base64.b64decode((payload.url or "").partition(",")[2])
    name = Path("the camera's picture")
    check_size(read_header(data).size, name)
    return decode_image(data, str(name))


def as_it_is() -> "gradio.WebcamOptions":
    """The camera's picture not mirrored, so that left and right are those of the poses."""
    import gradio as gr

    return gr.WebcamOptions(mirror=False)


def take_uploads(source: Any) -> None:
    """`source` gives the path of the file as it came, and never fetches one from an address.

    gradio's own readers would look into it first, and say less of what is wrong with it.
    """
    move = source.async_move_resource_to_block_cache

    async def take(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise ValueError("an address where an upload was expected")
        return await move(path)

    source.async_move_resource_to_block_cache = take
    use_own_reader(source, lambda payload: payload and payload.path)


def use_own_reader(source: Any, read: Callable[[Any], Any]) -> None:
    """What `source` is sent is read by `read`; gradio's own reader takes all that Pillow knows."""
    source.preprocess = read


def download_buttons(what: str) -> list[Any]:
    """For the drawn image or video, and for the poses."""
    import gradio as gr

    names = (f"Download {what}", "Download JSON")
    return [gr.DownloadButton(name, interactive=False) for name in names]


def one_job_for(output: Any) -> dict[str, Any]:
    """Settings of the events that start a job, whose progress shows on `output`."""
    return {
        "concurrency_limit": 1,
        "concurrency_id": "jobs",
        "show_progress_on": output,
        "api_visibility": "private",
    }
