"""``python -m tidegate.cli``."""

from tidegate.cli.app import main

if __name__ == "__main__":
    main()
