"""Observability for Python AI backends: the light door.

One call makes an application observable::

    import watchkeeper

    watchkeeper.configure(service="shop-api")
"""
