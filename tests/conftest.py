"""What all tests share: few threads, no network, and one tiny model."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

if TYPE_CHECKING:
    from duologue.api import Model

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


END_SECONDS = 60  # that the interpreter may take to end once all tests are done


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A thread that a failed test left waiting may not keep the run from ending: name it, and end with the status."""
    if hasattr(session.config, "workerinput"):
        return  # one of several workers: the run itself ends it

    def end() -> None:
        print(f"\nstill running {END_SECONDS} s after the tests:", file=sys.stderr)
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        os._exit(int(exitstatus) or 70)  # tests that pass but never end have not passed

    guard = threading.Timer(END_SECONDS, end)
    guard.daemon = True
    guard.start()


@pytest.fixture(autouse=True, scope="session")
def few_threads() -> None:
    """Tests share two cores with others; more threads would only wait for each other."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder of random weights."""
    from tests.tiny import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Model:
    """The tiny model, loaded."""
    import duologue

    return duologue.load(tiny_folder, device="cpu")
