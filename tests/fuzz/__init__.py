"""Hostile inputs by the thousand: `python -m tests.fuzz`.

Each input is made from a seed and its number alone, and tried in a process of its own that is watched: only this
package's exceptions may come out, within 10 seconds and 2 GiB.
"""
