"""The learner's curves, which tensorboard writes in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import cannot_write
from ml.training.run_folder import TENSORBOARD_FOLDER


@contextmanager
def curves_told(output_dir: str | Path) -> Iterator[None]:
    """Say in one line if the block's curves cannot be written, and end it then.

    The thread keeps its exception as an attribute, and raises it again at the next value.

    Args:
        output_dir: The run's folder.

    Raises:
        RecordError: That happened.
    """
    folder = Path(output_dir) / TENSORBOARD_FOLDER
    failures: list[OSError] = []
    before = threading.excepthook

    def note(found: threading.ExceptHookArgs) -> None:
        error = found.exc_value
        is_of_curves = getattr(found.thread, "exception", None) is error
        if is_of_curves and isinstance(error, OSError):
            failures.append(error)
        else:
            before(found)

    threading.excepthook = note
    try:
        yield
    except OSError as error:
        is_at_beginning = error.filename is not None and folder in Path(error.filename).parents
        if error in failures or is_at_beginning:
            raise cannot_write(folder, error) from error
        raise
    finally:
        threading.excepthook = before
    if failures:
        raise cannot_write(folder, failures[0])
