"""The yardstick: the least that an aiohttp server can do with a callback of Africa's Talking.

It parses the same form with the standard library and answers a fixed page, on uvloop and without an access log,
as the engine is served. Prints its port.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from urllib.parse import parse_qsl

import uvloop
from aiohttp import web

PAGE = b"CON Welcome to Acme Bank\n1. Open an account\n2. Kiswahili\n0. Exit"
HEADERS = {"Content-Type": "text/plain; charset=utf-8"}


async def callback(request: web.Request) -> web.Response:
    form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
    for field in ("sessionId", "phoneNumber", "networkCode", "serviceCode", "text"):
        if field not in form:
            return web.Response(status=400, text=f"{field}: is missing\n")
    return web.Response(body=PAGE, headers=HEADERS)


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/ussd/africastalking", callback)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop_runner:
        loop_runner.run(serve())
