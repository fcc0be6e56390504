"""The web UI's built files and the routes that serve them."""
