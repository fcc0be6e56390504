"""A FastAPI application that configures watchkeeper when it is imported."""

from fastapi import FastAPI

import watchkeeper

watchkeeper.configure(service="served")
app = FastAPI()


@app.get("/items/{number}")
async def item(number: int) -> dict[str, int]:
    """Answer with the number."""
    return {"number": number}
