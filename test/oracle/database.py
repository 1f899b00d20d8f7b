"""psql, for oracles: connects by the environment."""

import csv
import subprocess


def psql(text, data=None):
    command = ["psql", "-XAtq", "--csv", "-v", "ON_ERROR_STOP=1"] + (["-c", text] if data is not None else [])
    result = subprocess.run(command, input=text if data is None else data, text=True, capture_output=True)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip() + "\n" + text[:1000])
    return list(csv.reader(result.stdout.splitlines()))
