"""Print the memory of processes in kB: what is theirs alone, and their share of the rest (smaps_rollup, proc(5)).

Runs on the host that is measured; its arguments are process ids.
"""

import sys
from pathlib import Path

rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in sys.argv[1:]]
print(sum(int(text.split("Pss:")[1].split()[0]) for text in rollups))
