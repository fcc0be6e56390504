"""The dashboards that ship with watchkeeper, one module each."""
