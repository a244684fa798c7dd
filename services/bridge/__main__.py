"""The bridge process: `python -m services.bridge`. Answers /healthz; the translators (V1, TF-Serving, LLM over V2 gRPC)
come in a later issue. No Django: it must go on while the console is down.
"""

from __future__ import annotations

from aiohttp import web

from console import env


async def healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def application() -> web.Application:
    made = web.Application()
    made.router.add_get("/healthz", healthz)
    return made


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=env.port("BRIDGE_PORT", 8090), access_log=None, print=None)
