"""From packed weights to the C structures that describe them. Holds every array that C points into."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..csm.config import CsmConfig
from ..native import binding
from ..nn.llama_config import StackConfig
from .packed import PackedModel, PackedTable
from .pieces import text_tables
from .quantize import KINDS, Floats
from .rotary import rotary_tables


class NativeModel:
    """`c` is the model for dl_engine_new; it is valid while this object lives."""

    def __init__(self, packed: PackedModel, *, threads: int, path: str) -> None:
        self._kept: list[Any] = [packed]
        config = packed.config
        self.c = binding.CModel(
            backbone=self._stack(packed, "backbone", "backbone", config.backbone),
            depth=self._stack(packed, "depth", "decoder", config.depth),
            codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            codec_entries=config.codec_entries,
            eos_code=config.eos_code if config.eos == "code" else -1,
            text_columns=config.text_columns,
            advances=0 if config.aligned is None else config.aligned.max_advance + 1,
            audio=_table(packed.tables["audio"]),
            first_head=packed.matrices["first_head"].c(),
            bfloat16_cache=packed.plan.bfloat16_cache,
            threads=threads,
            path=path.encode(),
        )
        self._add_tables_and_heads(packed, config)

    def _add_tables_and_heads(self, packed: PackedModel, config: CsmConfig) -> None:
        names = text_tables(config)
        self.c.text = self._array(binding.CTable, [_table(packed.tables[f"text.{i}"]) for i in range(len(names))])
        if config.aligned is not None:
            self.c.advance_head = packed.matrices["advance_head"].c()
        if config.num_codebooks > 1:
            self.c.depth_audio = _table(packed.tables["depth_audio"])
            self.c.projection = packed.matrices["projection"].c()
            heads = [packed.matrices[f"head.{i}"].c() for i in range(config.num_codebooks - 1)]
            self.c.heads = self._array(binding.CMatrix, heads)

    def _stack(self, packed: PackedModel, name: str, prefix: str, stack: StackConfig) -> binding.CStack:
        cosines, sines = (self._keep(table) for table in rotary_tables(stack))
        layers = []
        for i in range(stack.layers):
            matrices = {part: packed.matrices[f"{name}.{i}.{part}"].c() for part in ("qkv", "out", "gate_up", "down")}
            attention = self._keep(packed.vectors[f"{prefix}.layers.{i}.sa_norm.scale"])
            feed = self._keep(packed.vectors[f"{prefix}.layers.{i}.mlp_norm.scale"])
            layers.append(binding.CLayer(attention_norm=attention, feed_norm=feed, **matrices))
        return binding.CStack(
            layers=stack.layers,
            width=stack.width,
            heads=stack.heads,
            kv_heads=stack.kv_heads,
            head_width=stack.head_width,
            hidden=stack.hidden,
            positions=stack.max_positions,
            eps=stack.norm_eps,
            final_norm=self._keep(packed.vectors[f"{prefix}.norm.scale"]),
            cosines=cosines,
            sines=sines,
            layer=self._array(binding.CLayer, layers),
        )

    def _keep(self, values: Floats) -> int:
        array = np.ascontiguousarray(values, np.float32)
        self._kept.append(array)
        return binding.address(array)

    def _array(self, kind: Any, items: list[Any]) -> Any:
        array = (kind * len(items))(*items)
        self._kept.append(array)
        return array


def _table(table: PackedTable) -> binding.CTable:
    return binding.CTable(
        kind=KINDS.index(table.kind),
        stride=table.stride,
        rows=table.rows,
        data=binding.address(table.data),
        scales=None if table.scales is None else binding.address(table.scales),
        bytes=table.data.nbytes,
    )
