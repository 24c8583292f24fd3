"""bfloat16 is used where the CPU has it, and only there, unless a recipe insists."""

import pytest
import torch

from duologue.configuration import from_dict
from duologue.errors import InputError
from duologue.training.codec import CodecTraining
from duologue.training.precision import autocast, explain, multiplies_bfloat16, resolve


def test_auto_follows_the_cpu():
    assert resolve("auto") == ("bfloat16" if multiplies_bfloat16() else "float32")
    assert resolve("auto") in explain("auto")


@pytest.mark.parametrize("flags, chosen", [
    ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
    ({"avx512_bf16": True}, "bfloat16"),
    ({"cpu_name": "a name that ends in bf16", "l2_cache_size": 524288}, "float32"),
])  # fmt: skip
def test_only_true_bfloat16_flags_count(monkeypatch, flags, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert resolve("auto") == chosen


def test_what_a_recipe_asks_is_done():
    a = torch.ones(2, 2)
    with autocast("bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("float32"):
        assert (a @ a).dtype == torch.float32


def test_a_recipe_names_its_precision_wrongly():
    values = {"shards": "s", "prepared": "p", "mimi": {}, "precision": "half"}
    with pytest.raises(InputError, match="precision"):
        from_dict(CodecTraining, values)
