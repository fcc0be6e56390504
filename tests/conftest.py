"""What every test may ask for."""

from tests.services import database_url, redis_url

__all__ = ["database_url", "redis_url"]
