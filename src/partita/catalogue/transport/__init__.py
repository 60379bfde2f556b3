"""Addresses of files: on this machine, in object stores (S3, Google Cloud Storage), on the web.

Everything goes through fsspec: ``addresses`` (what may be asked for, and how it is shown),
``faults`` (what went wrong, and whether to try again), ``filesystems``, ``objects`` (small files
that are written once), ``listing``, ``ranged`` (reading parts), ``fetching`` (whole songs),
``publishing`` (stems, all or none).
"""
