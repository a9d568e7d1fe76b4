"""IPv6 readiness on bytes, on files and on real kernels in namespaces."""
