"""Benchmarks: `scripts/bench NAME [--json]` runs `main` of the module NAME, a typer command.

A benchmark makes a deterministic load, drives the real parts with it, verifies what came out, and prints figures: a
table, or with `--json` one JSON object. Where there is something to compare with, that runs in the same run.
"""
