"""The conformance suite: `trueup connector conformance NAME`, and a pytest plugin."""
