"""What the tests of the speech model's training share."""

import pytest
import torch

from .toy_corpus import write_toy_corpus


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_toy_corpus(tmp_path_factory.mktemp("toy"))
