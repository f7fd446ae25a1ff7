"""The console: where staff sign in and work. Later work adds cards to its home page, and routes of its own.

Templates (``templates/console/``) and what they are given:

- ``sign-in.html``: ``question: Question`` (the passkey ceremony), ``errors``, ``name``.
- ``invitation.html``: ``operator``, ``token``, ``question``, ``secret`` and ``address`` (of the authenticator app),
  ``sealed``, ``errors``. ``home.html``: ``cards: Sequence[tuple[str, Markup]]`` (title and content).
- ``operators.html``: ``operators``, ``roles``, ``manage``, ``link`` (a fresh invitation, shown once), ``errors``.
- ``approvals.html``: ``lines: Sequence[ApprovalLine]``. ``account.html``: ``operator``, ``passkeys``, ``password``,
  ``sessions``, ``question``, ``errors``.
"""
