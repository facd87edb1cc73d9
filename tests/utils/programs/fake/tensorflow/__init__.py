"""A package that writes on import as TensorFlow does, and fails where it is asked to."""

import os
import sys

LINES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795725614.497524   21378 port.cc:153] oneDNN custom operations are on.",
    "E0000 00:00:1795725614.497825   21378 cuda_fft.cc:31] Unable to register cuFFT factory",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.",
    "a line of another form",
    "F0000 00:00:1795725614.637613   21378 cpu_feature_guard.cc:227] needs AVX instructions",
)
os.write(2, "".join(f"{line}\n" for line in LINES).encode())
print("a line of Python", file=sys.stderr)

if os.environ.get("FAULT") == "error":
    raise ImportError("a broken installation")
if os.environ.get("FAULT") == "crash":
    os.abort()
