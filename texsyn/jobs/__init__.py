"""Fits as processes: in the background, in turns on a device, with limits, in batches, on clusters.

Imports every layer below the command line; modules import only the standard library and core at first, and torch inside
functions. Begin with `options` (the options of `texsyn fit`), then `process` (start, stop, status of one fit), `queue`
(turns on a device) and `sandbox` (reading untrusted files); `batch` fits a folder of exemplars by `worker`, one process
each, on this machine or by `cluster` on Ray, and `summary` reports the results.
"""
