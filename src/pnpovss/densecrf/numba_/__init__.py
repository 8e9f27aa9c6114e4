"""The Dense CRF on the CPU, compiled by numba."""
