"""Control's word on one attempt: that it may go on, or that it must end. Waits; decides nothing."""

import asyncio


class Permission:
    """Neither given nor taken back at first, unless a restart knows better."""

    def __init__(self, *, confirmed: bool, cancelled: bool) -> None:
        self._confirmed = asyncio.Event()
        self.cancelled = asyncio.Event()
        if confirmed:
            self.confirm()
        if cancelled:
            self.cancel()

    def confirm(self) -> None:
        """Control names the attempt's lease."""
        self._confirmed.set()

    def cancel(self) -> None:
        """It must end; that is never taken back, and counts more than a confirmation."""
        self.cancelled.set()

    async def granted(self) -> bool:
        """Wait for control's word; False when it is that the attempt must end."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._confirmed, self.cancelled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self.cancelled.is_set()
