"""`python -m daemon`, and the console script."""

from __future__ import annotations

from daemon.cli import main

if __name__ == "__main__":
    main()
