"""What callers of the bridge meet, over HTTP and over gRPC."""
