"""``python -m tidegate.advisor.load``, which is ``python -m tidegate.load`` now."""

from tidegate.load.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
