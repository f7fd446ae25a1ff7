"""A whole system on its way: exported under a passphrase (``leaving``), imported under another root (``arriving``)."""
