"""The server: python -m ksql.engine."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from hypercorn.asyncio import serve  # pyright: ignore[reportUnknownVariableType]
from hypercorn.config import Config
from pydantic import ValidationError

from cflight.errors import CflightError
from ksql.engine.rest.app import Application
from ksql.engine.rest.service import Service
from ksql.engine.runtime.engine import Engine
from ksql.engine.settings import EngineSettings

_log = logging.getLogger("ksql.engine")


def main() -> int:
    """Run the server until SIGTERM or SIGINT.

    Returns:
        The status to exit with.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = EngineSettings()  # pyright: ignore[reportCallIssue] - the values come from the environment
    except ValidationError as error:
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"error: {name}: {problem['msg']}\n")
        return 2
    engine = Engine(settings)
    try:
        engine.start()
    except CflightError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    try:
        asyncio.run(_serve(engine, settings))
    finally:
        engine.stop()
    return 0


async def _serve(engine: Engine, settings: EngineSettings) -> None:
    host = f"{settings.http_host}:{settings.http_port}"
    config = Config()
    config.bind = [host]
    config.include_server_header = False
    config.graceful_timeout = 2.0
    config.keep_alive_timeout = 60.0
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    application = Application(server=Service(engine, host))
    closing = asyncio.create_task(_close_streams(engine, stopping))
    _log.info("listening on http://%s", host)
    await serve(application, config, shutdown_trigger=stopping.wait)  # type: ignore[arg-type]
    await closing


async def _close_streams(engine: Engine, stopping: asyncio.Event) -> None:
    """Push queries have no end of their own, and the server would wait for them."""
    await stopping.wait()
    for transient in list(engine.transient.values()):
        transient.stream.close()


if __name__ == "__main__":
    sys.exit(main())
