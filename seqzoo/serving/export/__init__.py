"""Export of a model as ONNX files with a runner that needs neither torch nor seqzoo."""
