"""The one voice activity network that all sessions share, if this machine has it."""

from __future__ import annotations

from functools import cached_property

from ...agent.vad import SileroVad
from ...errors import BackendUnavailable


class VoiceActivity:
    """Loads the network when the first session asks."""

    @cached_property
    def network(self) -> SileroVad | None:
        """None without onnxruntime or the network's file; sessions then leave turns to the client."""
        try:
            return SileroVad()
        except BackendUnavailable:
            return None
