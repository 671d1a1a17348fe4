"""Raw text -> token ids -> record files of a general corpus, by many processes that need not know each other.

The folder for the records says how far the work is: job.json what is to be made, shards/ which shards are
finished, and manifest.json, written by whoever finishes last, that all are.
"""

