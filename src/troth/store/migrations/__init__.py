"""The steps from one version of the tables to the next: one folder for D, one for K (see ``store.migrate``).

A step only alters (with ``op.batch_alter_table``, which SQLite needs); it never deletes a row. ``store/tables`` says
where the steps lead; a test holds the two together on both stores.
"""
