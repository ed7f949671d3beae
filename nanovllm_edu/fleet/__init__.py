"""Replicas for real: servers with OpenAI's API behind the routers of `cluster`.

    urls = ["http://127.0.0.1:8001/v1", "http://127.0.0.1:8002/v1"]
    async with Fleet(urls, PrefixAffinity()) as fleet:
        reply = await fleet.ask({"prompt": "Once upon a time", "max_tokens": 16})

The extra `[serve]` brings what it needs. Read in this order: `fleet/replica.py`, `fleet/fleet.py`.
"""

from nanovllm_edu.fleet.fleet import Fleet, Reply

__all__ = ["Fleet", "Reply"]
