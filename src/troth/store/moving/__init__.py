"""A whole system as files: the form of ``troth export --all``. Nothing here knows a key (``vault.moving`` does)."""
