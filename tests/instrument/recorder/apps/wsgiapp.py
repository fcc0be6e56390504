"""A Flask application that configures watchkeeper when it is imported."""

from flask import Flask

import watchkeeper

watchkeeper.configure(service="served")
app = Flask(__name__)


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, int]:
    """Answer with the number."""
    return {"number": number}
