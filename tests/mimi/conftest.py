"""One thread: the codecs are small, and other work may share the cores."""

import torch

torch.set_num_threads(1)
