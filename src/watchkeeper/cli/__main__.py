"""Lets ``python -m watchkeeper.cli`` run the commands."""

from watchkeeper.cli.main import main

raise SystemExit(main())
