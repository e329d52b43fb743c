"""The data plane: one folder for each step of a request. No stage knows another; `pipeline.py` joins them."""
