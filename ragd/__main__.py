"""`python -m ragd` is the same as `ragd`."""

from ragd.cli.main import main

if __name__ == "__main__":
    main()
