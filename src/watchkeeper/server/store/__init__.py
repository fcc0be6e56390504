"""The store: DuckDB segments per signal and day, reached by intent."""

from watchkeeper.server.store.settings import StoreSettings
from watchkeeper.server.store.store import Store

__all__ = ["Store", "StoreSettings"]
