"""Layout of the embedded store, and how samples move through it.

A DuckDB file holds what is recent or small, a folder beside it (`<name>.runs`) what is old, as Parquet:

    hot_<n>     samples as they were committed, by window; a new table every so many rows
    run         the runs: a closed `hot` table becomes one Parquet file, sorted by series and time
    rollup      hourly least, mean, most, last and count of a series, made of runs that are about to go
    span        one row a committed window: number, time, births and presence as JSON, and its `hot` table
    log         log lines
    batch       keys of the batches of each window; folded into `batch_range` by and by
    batch_range intervals of keys (see stores.keyset)
    newest      newest value of each series when it was last written; newer ones are in `hot`

A sample is in `hot` or in one run, never in both: the file is complete on the disk before the transaction that names
it in `run` and drops the table. A file that `run` does not name is rubbish. Sorting is what makes values small: times
become constant steps, series become runs, values of a kind stand together (measured: 2.2 bytes a value where DuckDB's
own tables take 5.1; bench/README.md).
"""

VERSION = 1

TABLES = """
CREATE TABLE IF NOT EXISTS about (version INTEGER);
CREATE TABLE IF NOT EXISTS run (file VARCHAR, rows BIGINT, first_ms BIGINT, last_ms BIGINT);
CREATE TABLE IF NOT EXISTS rollup (
    series INTEGER, t_ms BIGINT, least DOUBLE, mean DOUBLE, most DOUBLE, last DOUBLE, samples INTEGER);
CREATE TABLE IF NOT EXISTS span (
    number BIGINT, received_ms BIGINT, hot INTEGER, births VARCHAR, presence VARCHAR);
CREATE TABLE IF NOT EXISTS log (
    number BIGINT, device INTEGER, t_ms BIGINT, severity TINYINT, source VARCHAR, line VARCHAR);
CREATE TABLE IF NOT EXISTS batch (number BIGINT, device INTEGER, boot BIGINT, seq BIGINT);
CREATE TABLE IF NOT EXISTS batch_range (device INTEGER, boot BIGINT, first BIGINT, last BIGINT);
CREATE TABLE IF NOT EXISTS newest (series INTEGER, t_ms BIGINT, value DOUBLE);
"""

HOT = "CREATE TABLE IF NOT EXISTS hot_{n} (number BIGINT, series INTEGER, t_ms BIGINT, value DOUBLE, late BOOLEAN)"
