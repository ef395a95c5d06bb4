"""`python -m molig`, the same as `molig`."""

from molig.cli import main

if __name__ == "__main__":
    main()
