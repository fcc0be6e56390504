"""The store: DuckDB segments per signal and day, reached by intent."""
