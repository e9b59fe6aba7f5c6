"""How a run is shown and what it leaves behind: displays, the summary, exported rows."""
