"""Faults: a soak of the whole pipeline on a broker of its own, with one fault every few seconds.

    python -m tests.faults --minutes 30
    python -m tests.faults.foreign

`deployment` is what runs, `faults` are the kinds of what befalls it, `soak` says when, `lag` sees how far every stage
is, and `judge` compares what came of it with SQL over the topics and with a replay. Nobody helps: what falls is started
again by the supervisor alone. `foreign` is a run of its own: topics of others in three formats.
"""
