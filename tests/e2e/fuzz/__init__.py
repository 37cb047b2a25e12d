"""What schemathesis is told when it fuzzes the API from its own document; tests/e2e/test_fuzz.py runs it."""
