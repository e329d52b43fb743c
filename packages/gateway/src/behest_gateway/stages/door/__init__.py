"""The door: which project is addressed, and may this caller come in now?"""
