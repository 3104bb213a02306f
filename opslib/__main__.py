"""`python -m opslib` is `opslib`."""

from opslib.cli import main

if __name__ == "__main__":
    main()
