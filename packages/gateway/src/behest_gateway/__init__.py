"""The gateway: per-user tokens, hard budgets and attribution in front of any LLM provider.

Read `pipeline.py` first: it is the way of a request, on one screen. `app.py` is the only file that names concrete
classes. `core` holds the types between the stages, `stages` the data plane, `mint` and `control` the token and the
management planes, `adapters` what touches the world, and `http` what callers see.
"""
