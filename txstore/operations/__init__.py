"""The verbs of `manage.py cluster`: a module for each.

A module `rotate_token` is the verb `rotate-token`. Its docstring is the verb's help; `add_arguments(parser)`, if it has
one, says what the verb takes; `run(console, **arguments)` does it, and raises CommandError or a class of `nodes.errors`
when it could not.
"""
