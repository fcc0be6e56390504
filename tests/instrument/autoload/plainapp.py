"""An application that knows nothing of watchkeeper."""

import logging

from fastapi import FastAPI

app = FastAPI()


@app.get("/hello/{name}")
def hello(name: str) -> dict[str, str]:
    """Greet."""
    logging.getLogger("plainapp").warning("greeting %s", name)
    return {"hello": name}
