"""Where samples and log lines rest: adapters behind ports.SeriesStore."""
