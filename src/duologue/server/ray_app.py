"""The same server on many machines, by Ray Serve: `serve run duologue.server.ray_app:build state=/shared/state`.

Each replica is the whole application around a model of its own; the engine knows nothing of Ray. Requests with one
x-session-id (a conversation's id serves well) go to one replica, which holds its keys and values. When that replica is
gone or full, another one reads the conversation again from its codes in the shared state folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, RequestRouterConfig

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp

ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"
KEYS_VARIABLE = "DUOLOGUE_API_KEYS"  # separated by spaces, as for `duologue serve`


class FleetOptions(BaseModel):
    """What `serve run` and a Serve config file may set."""

    model_config = ConfigDict(extra="forbid")

    state: Path  # of all replicas: a folder that every machine sees
    voices: Path | None = None  # likewise
    model: str | None = None
    engine: str = "auto"
    streams: int = Field(default=8, ge=1)  # rows of one replica
    real_time: bool = True  # of these, no more than its machine speaks in real time
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=4, ge=1)
    cpus: float = Field(default=2, gt=0)  # that one replica needs
    gpus: float = Field(default=0, ge=0)


@serve.ingress()
class Home:
    """One replica."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = FleetOptions(**options)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        import os

        import duologue

        from .app import create_app
        from .settings import ServerSettings

        given = self._options
        settings = ServerSettings(
            host="0.0.0.0",
            max_streams=given.streams,
            real_time=given.real_time,
            state_folder=given.state,
            voices_folder=given.voices,
            api_keys=tuple(os.environ.get(KEYS_VARIABLE, "").split()),
        )
        return create_app(duologue.load(given.model, engine=given.engine), settings)


def build(options: dict[str, Any]) -> Application:
    """An application for `serve run` or `serve.run`. Unknown options are refused."""
    given = FleetOptions(**options)
    deployment = serve.deployment(
        Home,
        name="duologue",
        ray_actor_options={"num_cpus": given.cpus, "num_gpus": given.gpus},
        max_ongoing_requests=4 * given.streams,  # beyond it the router goes on to the next replica
        graceful_shutdown_timeout_s=30,
        health_check_period_s=5,
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
        autoscaling_config=AutoscalingConfig(
            min_replicas=given.min_replicas,
            max_replicas=given.max_replicas,
            initial_replicas=given.min_replicas,
            target_ongoing_requests=given.streams,
            upscale_delay_s=5,
            downscale_delay_s=300,  # conversations rest in between
        ),
    )
    return deployment.bind(given.model_dump(mode="json"))  # type: ignore[no-any-return]
