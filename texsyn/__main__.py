"""`python -m texsyn` is the `texsyn` command."""

from texsyn.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
