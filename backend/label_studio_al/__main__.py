"""`python -m label_studio_al` is the same command as `label-studio-al`."""

from label_studio_al.cli import main

if __name__ == "__main__":
    main()
