"""Alembic's migrations, oldest first: ``versions/mNNNN_*.py``. A released one is never changed."""
