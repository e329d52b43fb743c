"""What travels between an app, the gateway and a provider.

Values and pure functions only: nothing here opens a socket or a file. Each module answers one question:

- `money`: how much is a nano-dollar, and how is it shown
- `usage`: what did a provider say it used
- `claims`: who does a token speak for
- `headers`: what are the header names
- `sse`: how are server-sent events framed
- `errors`: what does a refusal look like
"""
