"""The application side: turns what an application does into logs, metrics and traces.

The package can be called: ``watchkeeper.instrument("redis", "celery")`` instruments libraries by
name; see `watchkeeper.instrument.configure.instrument`.
"""
