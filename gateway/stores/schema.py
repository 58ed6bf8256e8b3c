"""Tables of the embedded store, and how samples move through them.

    hot_<n>     samples as they were committed, by window; a new table every so many rows
    cold        samples in runs sorted by series and time: a closed `hot` table becomes one run, in one transaction
    rollup      hourly least, mean, most, last and count of a series, made from `cold`
    span        one row a committed window: number, time, births and presence as JSON, and its `hot` table
    log         log lines
    batch       keys of the batches of each window; folded into `batch_range` by and by
    batch_range intervals of keys (see stores.keyset)
    newest      newest value of each series when it was last written; newer ones are in `hot`

A sample is in `hot` or in `cold`, never in both. Sorted runs are what makes values small: times become constant steps,
series become runs, and neighbouring values share their exponents (measured: bench/README.md).
"""

VERSION = 1

TABLES = """
CREATE TABLE IF NOT EXISTS about (version INTEGER);
CREATE TABLE IF NOT EXISTS cold (series INTEGER, t_ms BIGINT, value DOUBLE, late BOOLEAN);
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
