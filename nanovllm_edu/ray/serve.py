"""`openai_app`: OpenAI's API as a Ray Serve application, an engine in each replica.

    from ray import serve
    serve.run(openai_app("tiny", num_replicas=2))      # http://127.0.0.1:8000/v1

It is the app of `nanovllm-edu serve`, gatekeeper included. Ray Serve starts and stops replicas,
sends each request to one of them, and starts one anew whose engine has ended.

Read next: `serve/app.py`.
"""

from typing import Any

from ray import serve
from starlette.types import ASGIApp, Receive, Scope, Send

from nanovllm_edu.async_llm import MAX_WAITING, AsyncLLM
from nanovllm_edu.errors import EngineClosedError
from nanovllm_edu.ray.placement import placed
from nanovllm_edu.serve.address import LOOPBACK_NAMES
from nanovllm_edu.serve.app import Served, create_app
from nanovllm_edu.serve.gatekeeper import Rules


class Front:
    """The app of one replica, as ASGI.

    Args:
        served: Its engine, and who may ask.
    """

    def __init__(self, served: Served) -> None:
        self.served, self._app = served, create_app(served)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Health:
    """What Ray Serve asks of a replica every few seconds; `app` is its `Front`."""

    app: Front

    def check_health(self) -> None:
        """Says nothing if it is well.

        Raises:
            EngineClosedError: The engine has ended: the replica is to be started anew.
        """
        if not self.app.served.is_well:
            raise EngineClosedError("the engine of this replica has ended; start it anew.")


def openai_app(
    model: str = "tiny",
    *,
    served_model_name: str | None = None,
    rules: Rules | None = None,
    num_replicas: int = 1,
    num_gpus: float = 0,
    max_waiting: int = MAX_WAITING,
    **options: Any,
) -> serve.Application:
    """An application for `serve.run`.

    Args:
        model: As in `LLM`; each replica loads it.
        served_model_name: As clients call it; by default like `model`.
        rules: Who may ask; by default whoever asks a name of this machine. With other names, give
            keys.
        num_replicas: How many engines.
        num_gpus: Of each; 0 runs on CPUs.
        max_waiting: So many requests wait in each; the next one is refused.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: An option is unknown or out of range.
    """
    options = placed(num_replicas, num_gpus, options)
    name, may_ask = served_model_name or model, rules or Rules(LOOPBACK_NAMES)

    def build() -> ASGIApp:
        """Runs in the replica, where the model is loaded."""
        return Front(Served(AsyncLLM(model, max_waiting=max_waiting, **options), name, may_ask))

    replica = serve.ingress(build)(Health)
    deployment = serve.deployment(
        replica,
        name="nanovllm-edu",
        num_replicas=num_replicas,
        # By default Ray Serve gives a replica five requests at a time: a batch needs more.
        max_ongoing_requests=may_ask.limits.max_streams,
        ray_actor_options={"num_gpus": num_gpus},
    )
    return deployment.bind()
