"""From trained towers to what serving loads.

onnx_file   what an ONNX file must not contain; no onnx package needed
towers_onnx both towers as ONNX (torch)
parity      ONNX Runtime against torch on shapes not seen at export (torch)
entry       what command line and entry scripts do with a run
export      a training run → a published bundle (torch)
bundle      open and publish bundles, every digest verified
runtime     OnnxTowers: NumPy in, NumPy out, no torch; residuals of known items
deployment  the deployment document's store
"""
