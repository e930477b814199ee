"""Waiting for a connection's socket, where libpq is spoken to directly."""

import asyncio


async def ready(socket: int, *, writable: bool) -> None:
    """Wait until there is something to read, or room to write if something waits to be written."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(socket, _wake, future)
    if writable:
        loop.add_writer(socket, _wake, future)
    try:
        await future
    finally:
        loop.remove_reader(socket)
        if writable:
            loop.remove_writer(socket)


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
