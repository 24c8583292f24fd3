"""A GGUF model is read where it lies: neither looking at it nor writing it anew takes memory for all of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from duologue.weights.gguf_own import write_own
from duologue.weights.type_policy import named_policy

from .gguf_models import CONFIG, csm_part

PROGRAM = """
import resource, sys
from pathlib import Path
import gguf, numpy as np
from duologue.weights.csm_files import read_csm
from duologue.weights.gguf_own import write_own
from duologue.weights.model_parts import CsmPart
from duologue.weights.stored_array import as_floats
read_csm(sys.argv[2], as_arrays=True)  # everything is imported by now
status = Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]
limit = int(status) * 1024 + int(sys.argv[3]) * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.ones(limit, np.uint8)
    sys.exit("the limit has no effect")
except MemoryError:
    pass
weights = read_csm(sys.argv[1], as_arrays=True)
total = 0.0
for array in weights.tensors.values():
    for start in range(0, len(array), 2048):
        total += float(np.abs(as_floats(array[start : start + 2048])).sum())
write_own(Path(sys.argv[1] + ".copy"), CsmPart(weights.config, weights.tensors), None)
print(total)
"""


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_less_memory_than_the_file_is_enough_to_read_and_copy_it(kind: str, tmp_path: Path) -> None:
    config = replace(CONFIG, text_vocab=300_000)  # 19 million numbers in one table: 77 MB as float32
    write_own(tmp_path / "small.gguf", csm_part(), None)
    write_own(tmp_path / "large.gguf", csm_part(config), None, policy=named_policy(kind))
    size = (tmp_path / "large.gguf").stat().st_size
    allowed = 12  # MB
    assert size > 1.6 * allowed * 2**20
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "large.gguf"), str(tmp_path / "small.gguf"), str(allowed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
    assert (tmp_path / "large.gguf.copy").read_bytes() == (tmp_path / "large.gguf").read_bytes()


@pytest.mark.parametrize("plan", ["float32", "bfloat16", "int4"])
def test_the_engines_own_form_runs_from_its_file(plan: str, tmp_path: Path) -> None:
    """Mapped pages are the file's: the block is not in private memory, and says the same."""
    import numpy as np

    from duologue.engine.native_engine import NativeEngine
    from duologue.engine.packed import load_packed, pack_model, save_packed
    from duologue.engine.quantize import PLANS

    part = csm_part()
    packed = pack_model(part.config, part.arrays, PLANS[plan])
    save_packed(packed, tmp_path / "x.packed", "source")
    mapped = load_packed(part.config, PLANS[plan], tmp_path / "x.packed", "source", mapped=True)
    read = load_packed(part.config, PLANS[plan], tmp_path / "x.packed", "source")
    assert mapped is not None and read is not None
    assert isinstance(mapped.block, np.memmap) and not mapped.block.flags.writeable
    assert mapped.block.ctypes.data % 4096 == 0
    grid = np.full((3, part.config.columns), -1, np.int64)
    grid[:, -1] = [4, 9, 2]
    heard = []
    for model in (packed, mapped, read):
        from duologue.engine.base import FrameRequest, FrameSampling

        engine = NativeEngine(model)
        cache = engine.new_cache()
        engine.prefill(cache, grid[:-1], np.arange(2))
        heard.append(engine.trace(FrameRequest(cache, grid[-1], 2, 0, FrameSampling()))[1].first_logits)
    assert np.array_equal(heard[0], heard[1]) and np.array_equal(heard[0], heard[2])
