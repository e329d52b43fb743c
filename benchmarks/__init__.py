"""What a request costs, beside nginx and other gateways, on one core of this machine: `nox -s bench`.

One core has the load generator and a mock provider, another has the subject alone. What counts is the CPU time that
the kernel charges to the subject's processes between two moments, divided by the answers that arrived between them,
each of which was checked. How to read the numbers, and the last ones: docs/reference/performance.md.
"""
