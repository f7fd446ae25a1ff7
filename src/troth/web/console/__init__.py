"""The console: where staff sign in and work. Later work adds cards to its home page, and routes of its own.

Templates (``templates/console/``) and what they are given:

- ``sign-in.html``: ``question: Question`` (the passkey ceremony), ``errors``, ``name``.
- ``invitation.html``: ``operator``, ``token``, ``question``, ``secret`` and ``address`` (of the authenticator app),
  ``sealed``, ``errors``. ``home.html``: ``cards: Sequence[tuple[str, Markup]]`` (title and content).
- ``operators.html``: ``operators``, ``roles``, ``manage``, ``link`` (a fresh invitation, shown once), ``errors``.
- ``approvals.html``: ``lines: Sequence[ApprovalLine]``. ``account.html``: ``operator``, ``passkeys``, ``password``,
  ``sessions``, ``question``, ``errors``. ``sessions.html``: ``sessions: Sequence[OpenSession]``, ``own``, ``done``.
- ``people.html``: ``kinds``, ``purposes``, ``typed`` (what was sent), ``seen: Seen | None``, ``sessions``, ``denied``,
  ``gaps``, ``done``, ``errors``. ``imports.html``: ``runs: Sequence[Listed]``, ``why``, ``undo``, ``errors``.
- ``erasures.html``: ``erasures: Sequence[Certificate]``. ``erasure.html``: ``certificate``, ``became``:
  ``Sequence[PlannedLine]``, ``signed`` (the plan as stored), ``rows``.
- ``points.html``: ``points`` (traffic, title, bars), ``begins``, ``since_ms``, ``width``, ``bar_width``, ``height``.
- ``tools.html``: ``kept`` (names), ``waiting`` (hook, event, whether overdue), ``count``.
"""
