"""Moving in: people, consents and suppressions from a file of another system, through the same door as a form.

reading (a file as rows) -> layouts (which column is what) -> planning (what a row becomes, or why it is held)
-> deciding (who is new, known or spared) -> chunks (what is written together) -> carrying (a file to its end)
-> undoing. Clauses: ``collect.*``, ``consent.at-submission``, ``rights.object-marketing``. Mechanisms:
``intake.declared``, ``consent.record``, ``suppress.keyed``.
"""
