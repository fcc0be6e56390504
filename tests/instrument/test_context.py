"""Request, user and tenant follow the work and nothing else."""

from __future__ import annotations

import asyncio
import contextvars
from uuid import UUID

from watchkeeper.instrument import context
from watchkeeper.instrument.logs import get_logger
from watchkeeper.testing import capture


def test_bind_restores_what_was_there() -> None:
    """Values hold inside the block; those not given stay."""
    with context.bind(request_id="r", user_id="u", a=1):
        with context.bind(user_id="v", b=2):
            inner = (context.request_id(), context.user_id(), context.fields())
        outer = (context.user_id(), context.fields())

    assert (("r", "v", {"a": 1, "b": 2}), ("u", {"a": 1})) == (inner, outer)
    assert ("", "", "", None) == (
        context.request_id(),
        context.user_id(),
        context.tenant_id(),
        context.fields(),
    )


class Rude:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise ValueError


def test_an_id_may_be_anything_that_has_a_text() -> None:
    """Numbers and UUIDs are as good as texts, zero too; what has none costs the host nothing."""
    with capture() as seen:
        for given in (0, 17, UUID(int=5), Rude()):
            with context.bind(request_id=given, user_id=given, tenant_id=given):
                get_logger("x").info("line")
        context.set_user_id(18)  # type: ignore[arg-type] # as a caller without types would
        get_logger("x").info("line")
        context.set_user_id("")
        found = [log.attributes["user.id"] for log in seen.logs]
    assert ["0", "17", str(UUID(int=5)), "[unprintable Rude]", "18"] == found


async def test_tasks_do_not_share_values() -> None:
    """What one task sets, another does not see."""

    async def work(name: str) -> tuple[str, str, str]:
        context.set_request_id(name)
        context.set_user_id(name)
        context.set_tenant_id(name)
        await asyncio.sleep(0)
        return context.request_id(), context.user_id(), context.tenant_id()

    assert (("a",) * 3, ("b",) * 3) == tuple(await asyncio.gather(work("a"), work("b")))
    assert context.request_id() == ""


def test_leaving_in_another_context_does_not_raise() -> None:
    """A generator that is closed elsewhere, as web frameworks do, is no error."""
    block = context.bind(request_id="r", x=1)
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)

    assert context.request_id() == ""
