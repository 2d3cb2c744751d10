"""`python -m backend` is the same command as `label-studio-al`."""

from backend.cli import main

if __name__ == "__main__":
    main()
