"""Other people's Mimi holding our weights, behind one small face. Knows how to build them, not what to compare.

No trained weights are needed: a random codec is made lively enough that every part matters, and each reference loads
the file that `save_mimi` writes for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import BackendUnavailable
from ..mimi.checks import Tail
from ..mimi.codec import Mimi
from ..mimi.config import MimiConfig
from ..mimi.quantizer import Codebook, ResidualQuantizer
from ..nn.conv import CausalConv, UpsamplingConv
from ..weights.mimi import save_mimi


class Reference(Protocol):
    """What every implementation can do. `tail` is the rule by which it completes the last frame."""

    name: str
    tail: Tail

    def latents(self, wav: Tensor) -> Tensor: ...

    def encode(self, wav: Tensor) -> Tensor: ...

    def decode(self, codes: Tensor) -> Tensor: ...


def lively_codec(config: MimiConfig, sound: Tensor, seed: int = 0) -> Mimi:
    """A codec with random weights through which signals keep their size, and codebooks spread over `sound`'s latents.

    Fresh codebooks and layer scales would hide faults: the former are all zero in other libraries, the latter leave
    the attention out of the result.
    """
    torch.manual_seed(seed)
    codec = Mimi(config).eval()
    with torch.no_grad():
        for module in codec.modules():
            if isinstance(module, CausalConv | UpsamplingConv):
                module.weight.mul_(1.7)  # uniform ±1/sqrt(n) has a third of the variance that keeps a signal's size
                if module.bias is not None:
                    module.bias.mul_(0.1)  # or it drowns the signal
        codec.encoder.model[0].weight.mul_(1 / sound.std())
        for name, parameter in codec.named_parameters():
            if name.endswith((".scale1", ".scale2")):
                parameter.uniform_(0.2, 1.0)
            elif ".norm" in name:
                parameter.add_(torch.randn_like(parameter) / 10)
        latents = codec.latents(sound[..., : sound.shape[-1] // config.frame_samples * config.frame_samples])
        for quantizer in (codec.quantizer.semantic, codec.quantizer.acoustic):
            _spread(quantizer, latents)
        last = codec.decoder.model[-1]
        gain = 1 / codec.sound(latents).abs().max()  # or a tolerance in absolute terms would mean nothing
        last.weight.mul_(gain)
        last.bias.mul_(gain)
    return codec


def _spread(quantizer: ResidualQuantizer, latents: Tensor) -> None:
    left = quantizer.project_in(latents).transpose(1, 2)  # (B,T,C)
    for codebook in quantizer.codebooks:
        assert isinstance(codebook, Codebook)
        usage = torch.rand_like(codebook.cluster_usage) + 0.5
        noise = torch.randn_like(codebook.embedding_sum) * left.flatten(0, 1).std(0) + left.flatten(0, 1).mean(0)
        codebook.cluster_usage.copy_(usage)
        codebook.embedding_sum.copy_(noise * usage[:, None])
        left = left - codebook.decode(codebook.encode(left))


class TransformersMimi:
    """transformers' MimiModel, loaded by its own from_pretrained."""

    name = "transformers"
    tail: Tail = "layers"

    def __init__(self, codec: Mimi, folder: Path) -> None:
        from transformers import MimiModel

        save_mimi(codec, folder, "transformers")
        self.model: Any = MimiModel.from_pretrained(folder).eval()

    @torch.no_grad()
    def latents(self, wav: Tensor) -> Tensor:
        """Sound -> unquantized latents (B,D,T)."""
        return self.model.encoder(wav).latents

    @torch.no_grad()
    def encode(self, wav: Tensor) -> Tensor:
        """Sound -> codes (B,K,T)."""
        return self.model.encode(wav).audio_codes

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> sound."""
        return self.model.decode(codes).audio_values


class MoshiMimi:
    """The moshi package's MimiModel, loaded by its own get_mimi."""

    name = "moshi"
    tail: Tail = "waveform"

    def __init__(self, codec: Mimi, folder: Path) -> None:
        try:
            from moshi.models import loaders
        except ImportError as error:
            raise BackendUnavailable(f"moshi can't be imported: {error}.", hint="pip install moshi") from error
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "mimi.safetensors"
        save_mimi(codec, path)
        sizes = moshi_config(codec.config)
        self.model: nn.Module = loaders.get_mimi(path, sizes, num_codebooks=codec.config.quantizer.codebooks)

    @torch.no_grad()
    def latents(self, wav: Tensor) -> Tensor:
        """Sound -> unquantized latents (B,D,T)."""
        return self.model.encode_to_latent(wav, quantize=False)  # type: ignore[operator]

    @torch.no_grad()
    def encode(self, wav: Tensor) -> Tensor:
        """Sound -> codes (B,K,T)."""
        return self.model.encode(wav)  # type: ignore[operator]

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> sound."""
        return self.model.decode(codes)  # type: ignore[operator]


def moshi_config(config: MimiConfig) -> dict[str, Any]:
    """The sizes in the words of moshi's loaders."""
    seanet, transformer, quantizer = config.seanet, config.transformer, config.quantizer
    assert seanet is not None
    return {
        "sample_rate": config.rate_hz,
        "channels": 1,
        "frame_rate": config.rate_hz / config.frame_samples,
        "seanet": {
            "channels": 1,
            "dimension": config.width,
            "causal": True,
            "n_filters": seanet.filters,
            "n_residual_layers": seanet.residual_layers,
            "activation": "ELU",
            "compress": seanet.compress,
            "dilation_base": seanet.dilation_base,
            "disable_norm_outer_blocks": 0,
            "kernel_size": seanet.kernel,
            "residual_kernel_size": seanet.residual_kernel,
            "last_kernel_size": seanet.last_kernel,
            "norm": "none",
            "pad_mode": "constant",
            "ratios": list(seanet.ratios),
            "true_skip": True,
        },
        "quantizer": {
            "dimension": quantizer.width,
            "n_q": quantizer.codebooks,
            "n_q_semantic": quantizer.semantic,
            "bins": quantizer.entries,
            "input_dimension": config.width,
            "output_dimension": config.width,
        },
        "transformer": {
            "d_model": config.width,
            "num_heads": transformer.heads,
            "num_layers": transformer.layers,
            "causal": True,
            "layer_scale": transformer.initial_scale,
            "context": transformer.context,
            "conv_layout": True,
            "max_period": transformer.rope_base,
            "gating": "none",
            "norm": "layer_norm",
            "positional_embedding": "rope",
            "dim_feedforward": transformer.hidden,
            "input_dimension": config.width,
            "output_dimensions": [config.width],
        },
    }
