"""OpenTelemetry traces of frames, the extra `tracing`: off unless asked for, and then of a sample of them."""
