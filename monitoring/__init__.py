"""The watch: what the cluster does, shown and judged, through the client alone."""
