"""What everything else is built on: errors, files, text, tables, tensor operations.

Imports no other folder of texsyn, and torch only in `ops`, so that `texsyn --help` starts fast. Begin with `modality`
(the kinds of texture), `architecture` (designs of their networks) and `recipes` (settings of training): three tables
from which networks, options of the command line and controls of the app follow.
"""
