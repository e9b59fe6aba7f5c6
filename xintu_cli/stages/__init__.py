"""The arrows of the pipeline: each stage takes a stream and gives a stream of frozen records."""
