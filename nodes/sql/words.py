"""Words that PostgreSQL 15 keeps for itself, lower case."""

from __future__ import annotations

# Neither a column nor a table without quotes.
RESERVED_WORDS = {
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "binary",
    "both", "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint", "create",
    "cross", "current_schema", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except", "false",
    "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in", "initially",
    "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left", "like", "limit", "natural",
    "not", "notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps", "placing", "primary",
    "references", "returning", "right", "select", "similar", "some", "symmetric", "table", "tablesample", "then",
    "to", "trailing", "true", "union", "unique", "using", "variadic", "verbose", "when", "where", "window", "with",
}  # fmt: skip

# Names of values: they look like columns.
VALUE_WORDS = {
    "current_catalog", "current_date", "current_role", "current_time", "current_timestamp", "current_user",
    "localtime", "localtimestamp", "session_user", "user",
}  # fmt: skip

# What begins a statement that PostgreSQL has and this store has not.
REFUSED_STATEMENTS = {
    "abort", "analyze", "begin", "call", "checkpoint", "close", "cluster", "comment", "commit", "copy",
    "deallocate", "declare", "discard", "do", "end", "execute", "explain", "fetch", "grant", "import",
    "listen", "load", "lock", "merge", "move", "notify", "prepare", "reassign", "refresh", "reindex", "release",
    "reset", "revoke", "rollback", "savepoint", "security", "set", "show", "start", "table", "truncate", "unlisten",
    "vacuum", "values", "with",
}  # fmt: skip

# The names a table has of itself.
SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}
