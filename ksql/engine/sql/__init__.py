"""The SQL text: lexer, parser, syntax tree and the formatter that writes statements as ksqlDB does."""
