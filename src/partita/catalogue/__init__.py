"""Catalogues: thousands of songs, on one machine or many, none lost and none separated twice.

A manifest (`store.Manifest`) is a folder, local or on an object store, of small files that are
written once and never change. So any number of processes use it without locks or a database::

    plan.json                            what was planned (`records.PlanHeader`)
    plan/00000.jsonl                     1000 songs, the longest first (`records.PlannedSong`)
    run.json                             how all songs are separated (`records.RunSettings`)
    records/00000/ID.2.done.json         attempt 2 of a song (`records.SongRecord`)

The name of a record says its outcome, so that listing is enough to know how far a catalogue is.
The record with the highest attempt of a song counts; clocks are never compared.

    catalogue.planning      inputs → songs → plan
    catalogue.running       what is left of a plan → engine → records
    catalogue.engine        what an engine has to do; what all do alike: `Engine`, `Policy`
    catalogue.local_engine  processes of this machine
    catalogue.worker        one song: source → stems, verified → destination → record
    catalogue.files         access to files, here local ones: `Files`
    catalogue.transport     files of object stores and web servers: `StoreFiles`

Whoever adds an engine implements `engine.Engine` and nothing else: it gets songs one by one (never
the whole list), calls ``work.open()`` once in each worker and ``process(song, attempt)`` for each
song, which writes the record itself, before it returns it. The engine ends what takes too long or
too much memory, asks `Policy` what follows from a failure, and yields records as they come.

Whoever adds a store implements `files.Files` and nothing else.
"""
