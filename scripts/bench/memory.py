"""Print the memory of some processes in kB: what is theirs alone, and their share of the rest (smaps_rollup, proc(5)).

Run on the host that is measured, by the numbers of the processes.
"""

import sys
from pathlib import Path

rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in sys.argv[1:]]
print(sum(int(text.split("Pss:")[1].split()[0]) for text in rollups))
