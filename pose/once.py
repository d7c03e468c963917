"""Lines of the log that are said once, however often what they tell of is met."""

import functools
import logging


@functools.lru_cache(maxsize=1000)
def say_once(logger: logging.Logger, level: int, text: str) -> None:
    """Logs `text`, which holds all that makes it another one, such as a file's name."""
    logger.log(level, "%s", text)
