"""`make demo`: a bank on the running cluster, a node killed under load, and the proof that no money was lost."""
