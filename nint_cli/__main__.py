"""Let ``python -m nint_cli`` do what ``nint`` does."""

from nint_cli.cli import main

if __name__ == "__main__":
    main()
