"""A model server that speaks the gRPC protocol of TensorFlow Serving."""
